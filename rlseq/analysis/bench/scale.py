"""`rlseq bench scale`: what a mesh costs on the same cores, and an estimate for GPUs.

One device, several simulated devices of one process and several processes train the same thing in
turn. All have the same cores, so a mesh cannot be faster: what it takes longer is its overhead.
"""

import json
import math
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlseq.train import files
from rlseq.train.runs import environment_info

WORDS = ("experiment=popgym_ppo", "env.num_envs=64", "total_steps=81920", "run.chunks=10")
PARTS = 2  # devices and processes
REPEATS = 3  # rounds, in each of which every way is measured once
FILE = "scale.json"


class Gpu(NamedTuple):
    """What an estimate takes for granted."""

    flops: float = 19.5e12  # float32 of an A100, NVIDIA's data sheet
    share: float = 0.1  # ours: of it that small products reach
    inside: float = 300e9  # bytes/s one way by NVLink, the data sheet; up to 8 devices
    between: float = 25e9  # bytes/s of a device by InfiniBand (200 Gbit/s)
    latency: float = 20e-6  # ours: seconds of a collective


class Way(NamedTuple):
    """How one measurement trains."""

    name: str
    words: tuple[str, ...]
    devices: int
    processes: int


WAYS = (
    Way("one device", (), 1, 1),
    Way(f"run.mesh=env={PARTS}", (f"run.mesh=env={PARTS}",), PARTS, 1),
    Way(f"{PARTS} processes", (f"run.mesh=env={PARTS}",), 1, PARTS),
)


def run(folder: Path, words: Sequence[str] = WORDS, *, repeats: int = REPEATS,
        show: Callable[[str], object] = lambda line: None) -> list[dict[str, Any]]:  # fmt: skip
    """Measure every way in turn; rows with the overhead over one device, medians of the rounds.

    Writes `scale.json` into the folder, with the estimate. Raises CalledProcessError where a
    process fails, CannotWrite.
    """
    rounds: list[dict[str, dict[str, Any]]] = []
    for number in range(repeats):
        rounds.append({})
        for way in WAYS:
            rounds[-1][way.name] = measured(way, words)
            show(f"round {number + 1} of {repeats}, {way.name}: {rounds[-1][way.name]}")
    rows = [_row(way.name, rounds) for way in WAYS]
    mesh = rounds[-1][WAYS[1].name]
    found = {
        "words": list(words),
        "environment": environment_info().splitlines(),
        "rows": rows,
        "rounds": rounds,
        "assumptions": Gpu()._asdict(),
        "estimate": estimate(flops_of(words), mesh["exchanged_bytes"], mesh["collectives"]),
    }
    files.make_folder(folder)
    files.write_atomic(folder / FILE, json.dumps(found, indent=1) + "\n")
    return rows


def measured(way: Way, words: Sequence[str]) -> dict[str, Any]:
    """What the leading process of one way says."""
    port = _free_port()
    started = []
    for rank in range(way.processes):
        joined = f"run.distributed=localhost:{port},processes={way.processes},rank={rank}"
        own = [*words, *way.words, *([joined] if way.processes > 1 else [])]
        command = [sys.executable, "-m", "rlseq.analysis.bench.scale_worker", *own]
        env = os.environ | {"JAX_NUM_CPU_DEVICES": str(way.devices), "JAX_PLATFORMS": "cpu"}
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True))
    said = [process.communicate()[0] for process in started]
    for process in started:
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
    return json.loads(said[0].splitlines()[-1])


def estimate(flops: float, moved: float, collectives: float, gpu: Gpu | None = None) -> list[dict]:
    """Weak scaling: every GPU has the work of one; rows for 8 and 64 of them. An estimate.

    A ring moves 2 (n - 1) / n of the bytes through each device, over the slowest link; nothing of
    it overlaps with computing.
    """
    gpu = gpu or Gpu()
    alone = flops / (gpu.flops * gpu.share)
    rows = []
    for count in (8, 64):
        link = gpu.inside if count <= 8 else gpu.between
        waiting = 2 * (count - 1) / count * moved / link + collectives * gpu.latency
        rows.append(
            {
                "gpus": count,
                "compute_seconds": alone,
                "exchange_seconds": waiting,
                "efficiency": alone / (alone + waiting) if alone + waiting else math.nan,
            }
        )
    return rows


def flops_of(words: Sequence[str]) -> float:
    """FLOPs of the matrix products of one update with all its environments on one device."""
    from rlseq import config
    from rlseq.analysis.bench.timing import matmul_flops
    from rlseq.train import build

    job = build.build(config.compose(list(words)))
    program = build.chunk_program(job)
    return matmul_flops(program, build.abstract_state(job)) / job.schedule.chunk


def _row(name: str, rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    key, base = "seconds_per_update", WAYS[0].name
    ratios = [one[name][key] / one[base][key] for one in rounds]
    return {
        "way": name,
        "ms_per_update": round(1e3 * statistics.median(one[name][key] for one in rounds), 2),
        "overhead": round(statistics.median(ratios) - 1, 3),
        "exchanged_kb": round(rounds[-1][name]["exchanged_bytes"] / 1e3, 1),
        "collectives": rounds[-1][name]["collectives"],
    }


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]
