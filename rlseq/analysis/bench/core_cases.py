"""One measurement of one core: a step, or a sequence forward and backward."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

import rlseq
from rlseq.analysis.bench.timing import compile_timed, seconds
from rlseq.cores import core_options
from rlseq.types import CoreFns, Params

LIMIT = 20.0  # seconds of one run; longer cases are skipped
RESET_RATE = 0.02
TURNS = 15  # of a step and its matmuls, one after the other: what slows the machine slows both
BARE = {"layers": 1, "norm": "none", "mixer": "none", "residual": False, "gate": "none"}


class Case(NamedTuple):
    """What is measured; the key of a row."""

    core: str
    method: str  # "" for a core with one form, and for steps
    kind: str  # "step" or "sequence"
    length: int
    batch: int
    width: int  # of the input and of the output


def measure(case: Case, known: Sequence[dict] = (), repeats: int = 0) -> dict[str, Any]:
    """The row of a case.

    Args:
        case: what to measure.
        known: rows measured before; they bound the time of longer sequences.
        repeats: runs behind each median; 0 chooses by how long one takes.

    Returns the case's own fields, parameters, carry_bytes (of one environment), seconds,
    temp_bytes, compile_seconds, matmul_ratio (a step's time over that of the same matrices in bare
    matmuls) and skipped: why there are no seconds, or "".
    """
    fns = functions(case)
    key = jax.random.key(0)
    params = jax.jit(fns.init)(key)
    row: dict[str, Any] = {
        **case._asdict(),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "carry_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(fns.init_carry(1))),
        "seconds": None,
        "temp_bytes": None,
        "compile_seconds": None,
        "matmul_ratio": None,
        "skipped": "",
    }
    if case.kind == "step":
        return row | _step(case, fns, params, repeats or 600)
    return row | _sequence(case, fns, params, known, repeats)


def functions(case: Case) -> CoreFns:
    """The core of a case: one layer without norms, mixers and residuals."""
    options: dict[str, Any] = BARE | ({"method": case.method} if case.method else {})
    known = core_options(case.core)
    options = {name: value for name, value in options.items() if name in known}
    return rlseq.functional(case.core, case.width, case.width, **options)


def _step(case: Case, fns: CoreFns, params: Params, repeats: int) -> dict[str, Any]:
    carry, x = fns.init_carry(case.batch), jnp.ones((case.batch, case.width))
    reset = jnp.zeros(case.batch, bool)
    compiled, compiling = compile_timed(fns.step, params, carry, x, reset)
    # The jitted functions, not the compiled ones: their calls cost less.
    step, bare = jax.jit(fns.step), jax.jit(bare_matmuls)
    turns = [
        (seconds(lambda: step(params, carry, x, reset), n), seconds(lambda: bare(params, x), n))
        for n in [max(1, repeats // TURNS)] * TURNS
    ]
    return {
        "seconds": statistics.median(took for took, _ in turns),
        "temp_bytes": compiled.memory_analysis().temp_size_in_bytes,
        "compile_seconds": compiling,
        "matmul_ratio": statistics.median(took / least for took, least in turns),
    }


def bare_matmuls(params: Params, x: Array) -> Array:
    """x [B, D] through all parameter matrices in a row, cut or repeated to their widths."""
    for leaf in jax.tree.leaves(params):
        if leaf.ndim >= 2:
            matrix = leaf.reshape(-1, leaf.shape[-1])
            copies = -(-matrix.shape[0] // x.shape[1])
            x = jnp.tile(x, (1, copies))[:, : matrix.shape[0]] @ matrix
    return x


def _sequence(
    case: Case, fns: CoreFns, params: Params, known: Sequence[dict], repeats: int
) -> dict[str, Any]:
    expected = _expected(case, known)
    if expected > LIMIT:
        return {"skipped": f"a run would take over {LIMIT:.0f} s, by the shorter ones"}
    keys = jax.random.split(jax.random.key(1))
    x = jax.random.normal(keys[0], (case.length, case.batch, case.width))
    reset = jax.random.bernoulli(keys[1], RESET_RATE, x.shape[:2])
    carry = fns.init_carry(case.batch)

    def loss(params: Params, x: Array) -> Array:
        return jnp.square(fns.scan(params, carry, x, reset)[1]).mean()

    compiled, compiling = compile_timed(jax.value_and_grad(loss, argnums=(0, 1)), params, x)
    memory = compiled.memory_analysis().temp_size_in_bytes
    row = {"temp_bytes": memory, "compile_seconds": compiling}
    if memory > _free_bytes():
        return row | {"skipped": f"needs {memory / 1e9:.1f} GB"}
    start = time.perf_counter()
    jax.block_until_ready(compiled(params, x))
    first = time.perf_counter() - start
    if first > LIMIT:
        return row | {"skipped": f"one run took {first:.0f} s"}
    repeats = repeats or max(3, min(15, int(5 / first)))
    return row | {"seconds": seconds(lambda: compiled(params, x), repeats)}


def _expected(case: Case, known: Sequence[dict]) -> float:
    """Seconds by the longest shorter sequence; infinite where that was skipped, 0 without one."""
    same = [
        row
        for row in known
        if case._replace(length=row["length"]) == Case(*(row[field] for field in Case._fields))
        and row["length"] < case.length
    ]
    if not same:
        return 0.0
    nearest = max(same, key=lambda row: row["length"])
    if nearest["seconds"] is None:
        return float("inf")
    return nearest["seconds"] * case.length / nearest["length"]


def _free_bytes() -> float:
    """Memory that is free now; of the host, where the device does not report its own."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    host = Path("/proc/meminfo")
    if not host.exists():
        return float("inf")
    lines = dict(line.split(":", 1) for line in host.read_text().splitlines())
    return 1024.0 * int(lines["MemAvailable"].split()[0])
