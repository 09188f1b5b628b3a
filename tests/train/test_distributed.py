"""Several processes over loopback: they equal one, are killed, stopped, and wrongly started."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax._src.clusters import ClusterEnv

from rlseq import config
from rlseq.errors import InputError
from rlseq.train import build, checkpoint, distributed, loop, record, runs, sharding
from tests import script
from tests.train.fake_job import make_folder, make_job

BOUND = 120.0  # seconds from a death to the end of all others; ten are usual


FIRST_PORT = 65_536 - 4096  # of those that JAX derives from the number of a job


def free_port() -> int:
    for port in random.sample(range(FIRST_PORT, 65_536), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("localhost", port))
            return port
    raise OSError("no free port")


def slurm(port: int, count: int, rank: int) -> dict[str, str]:
    """What `srun` sets."""
    job = {"SLURM_JOB_ID": port - FIRST_PORT, "SLURM_STEP_NODELIST": "localhost,node7"}
    task = {"SLURM_NTASKS": count, "SLURM_PROCID": rank, "SLURM_LOCALID": rank}
    return {key: str(value) for key, value in {**job, **task}.items()}


def open_mpi(port: int, count: int, rank: int) -> dict[str, str]:
    """What `mpirun` sets."""
    job = {"OMPI_MCA_orte_hnp_uri": f"{(port - FIRST_PORT) * 4096}.0;tcp://127.0.0.1:34911"}
    names = ("SIZE", "RANK", "LOCAL_RANK")
    values = zip(names, (count, rank, rank), strict=True)
    return job | {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in values}


class Group:
    """Processes 0 .. count - 1 of one run; `command(setting, rank)` gives the words of each.

    `cluster(port, count, rank)`: the variables of a launcher, from which JAX takes all of that.
    """

    def __init__(self, folder: Path, count: int, command, devices: int = 1, cluster=None):
        port = free_port()
        setting = "auto" if cluster else f"localhost:{port},processes={count}"
        env = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
        env["JAX_COMPILATION_CACHE_DIR"] = str(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
        self.logs = [folder / f"process{rank}.txt" for rank in range(count)]
        self.processes = []
        for rank, log in enumerate(self.logs):
            with open(log, "w", encoding="utf-8") as out:
                own = env | {distributed.RANK: str(rank)}  # one command line for all
                own |= cluster(port, count, rank) if cluster else {}
                words = command(setting, rank)
                process = subprocess.Popen(words, env=own, stdout=out, stderr=subprocess.STDOUT)
                self.processes.append(process)

    def codes(self, seconds: float = 300.0) -> list[int]:
        """Exit codes of all within a time; none is left behind."""
        deadline = time.monotonic() + seconds
        try:
            for process in self.processes:
                process.wait(max(0.1, deadline - time.monotonic()))
        finally:
            for process in self.processes:
                process.kill()
        return [process.wait() for process in self.processes]

    def said(self, rank: int) -> str:
        return self.logs[rank].read_text(encoding="utf-8")


def fakes(folder: Path, chunks: int, *words: str, own=()):
    """Commands of fake jobs in `folder/run`; `own[rank]` are words of one process alone."""

    def command(setting: str, rank: int) -> list[str]:
        more = [*words, *(own[rank] if own else ())]
        return script.command("tests.train.fake_processes", setting, folder / "run", chunks, *more)

    return command


def wait_for_steps(group: Group, folder: Path) -> None:
    """Until a checkpoint is there."""
    deadline = time.monotonic() + 300
    while not checkpoint.steps(folder / "run" / "checkpoints"):
        assert all(process.poll() is None for process in group.processes), group.said(0)
        assert time.monotonic() < deadline
        time.sleep(0.1)


def assert_close(one, two, **tolerances) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        if jax.numpy.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, **tolerances)


def resumed(folder: Path, job: build.Job):
    """The state at the end of a job that goes on in this process."""
    return loop.drive(job, folder / "run")


def test_a_signal_to_one_process_stops_all_and_one_process_goes_on(tmp_path):
    group = Group(tmp_path, 2, fakes(tmp_path, 100_000), devices=2)
    wait_for_steps(group, tmp_path)
    group.processes[1].send_signal(signal.SIGTERM)
    assert group.codes() == [130, 130]
    for rank in (0, 1):
        assert "interrupted at step" in group.said(rank) and "rlseq resume" in group.said(rank)
    done = checkpoint.steps(tmp_path / "run" / "checkpoints")[-1] // make_job(1).schedule.steps
    longer = make_job(done + 1)
    straight = loop.drive(longer, make_folder(tmp_path / "straight"))
    assert_close(straight, resumed(tmp_path, longer), rtol=1e-4, atol=1e-4)
    rows = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("run", "straight")]
    assert rows[0].count("\n") == rows[1].count("\n")


def test_one_process_of_four_is_killed(tmp_path):
    job = make_job(2)
    loop.drive(job, make_folder(tmp_path / "run"))  # four processes go on with it
    group = Group(tmp_path, 4, fakes(tmp_path, 100_000, "checkpoint_every=1"))
    while checkpoint.steps(tmp_path / "run" / "checkpoints")[-1] <= job.schedule.steps:
        assert all(process.poll() is None for process in group.processes), group.said(0)
        time.sleep(0.1)
    group.processes[2].kill()
    assert group.codes(BOUND) == [1, 1, -signal.SIGKILL, 1]
    for rank in (0, 1, 3):
        last = group.said(rank).strip().split("\n")[-1]
        assert last.startswith("rlseq: ") and "has died or cannot be reached" in last
        assert "is kept in" in last and "rlseq resume" in last
    kept = checkpoint.steps(tmp_path / "run" / "checkpoints")[-1] // make_job(1).schedule.steps
    longer = make_job(kept + 1)
    straight = loop.drive(longer, make_folder(tmp_path / "straight"))
    assert_close(straight, resumed(tmp_path, longer), rtol=1e-4, atol=1e-4)


def test_process_0_is_killed(tmp_path):
    group = Group(tmp_path, 2, fakes(tmp_path, 100_000, "mesh=env=2"), cluster=open_mpi)
    wait_for_steps(group, tmp_path)
    group.processes[0].kill()
    assert group.codes(BOUND) == [-signal.SIGKILL, 1]
    last = group.said(1).strip().split("\n")[-1]
    assert last.startswith("rlseq: ") and "rlseq resume" in last
    assert "process 0" in last


@pytest.mark.slow
def test_a_process_that_stands_still_is_missed(tmp_path):
    group = Group(tmp_path, 2, fakes(tmp_path, 100_000, "mesh=env=2"))
    wait_for_steps(group, tmp_path)
    group.processes[1].send_signal(signal.SIGSTOP)
    assert group.processes[0].wait(150) == 1
    last = group.said(0).strip().split("\n")[-1]
    assert last.startswith("rlseq: ") and "another process has died" in last
    group.processes[1].kill()
    assert group.codes() == [1, -signal.SIGKILL]


def test_processes_that_disagree_say_so_and_end(tmp_path):
    own = (["mesh=env=2"], ["mesh=seed=2"])
    group = Group(tmp_path, 2, fakes(tmp_path, 2, own=own), cluster=slurm)
    assert group.codes() == [2, 2]
    for rank in (0, 1):
        expected = "disagree: run.mesh is env=2 in process 0 and seed=2 in process 1"
        assert expected in group.said(rank)
    assert not (tmp_path / "run").exists()


def test_auto_without_a_cluster_names_the_other_form(tmp_path):
    group = Group(tmp_path, 1, fakes(tmp_path, 1), cluster=lambda *_: {})
    assert group.codes() == [2]
    expected = f"JAX detects {distributed.DETECTED}, and none of them here"
    assert expected in group.said(0) and "HOST:PORT,processes=N" in group.said(0)
    known = " ".join(
        one.__name__ for one in ClusterEnv._cluster_types if not one.opt_in_only_method
    )
    for name in ("Slurm", "Ompi", "K8s", "Tpu"):
        assert name in known
    assert "Ray" not in known  # else docs/scaling.md has less to say


@pytest.mark.slow
def test_a_process_that_compiles_longer_is_waited_for(tmp_path):
    group = Group(tmp_path, 2, fakes(tmp_path, 2, "mesh=env=2", own=([], ["late=40"])))
    assert group.codes() == [0, 0], group.said(0)


@pytest.mark.slow
def test_a_failure_of_process_0_ends_the_others(tmp_path):
    (tmp_path / "run" / "metrics.jsonl").mkdir(parents=True)
    group = Group(tmp_path, 2, fakes(tmp_path, 2, "mesh=env=2"))
    assert group.codes() == [2, 1]
    assert "process 0 failed: " in group.said(1)


def trained(folder: Path, count: int, *words: str, devices: int = 1) -> Group:
    """`rlseq train` in `folder/run` by several processes, to its end."""

    def command(setting: str, rank: int) -> list[str]:
        own = [*words, f"run.dir={folder / 'run'}", f"run.distributed={setting}"]
        return [sys.executable, "-m", "rlseq", "train", *own]

    group = Group(folder, count, command, devices)
    # Replays and world models compile for minutes where many share a core.
    assert group.codes(1200) == [0] * count, group.said(0) + group.said(1)
    return group


def last_state(folder: Path):
    run = runs.open_run(folder)
    like = build.abstract_state(build.build(run.config))
    return checkpoint.restore(folder / "checkpoints", like)[1]


def test_two_processes_learn_what_one_learns(tmp_path):
    words = ["experiment=debug", "core=gru", "agent.minibatches=1", "run.mesh=env=2"]
    words += ["total_steps=128", "run.chunks=2"]
    group = trained(tmp_path, 2, *words)
    assert "mean return" in group.said(0) and "done: 128 steps" in group.said(0)
    assert "mean return" not in group.said(1)
    assert_equals_one_process(tmp_path, words)
    assert runs.open_run(tmp_path / "run").config.run.distributed is None
    assert "processes: 2" in (tmp_path / "run" / "env.txt").read_text()
    lines = [(tmp_path / run / "metrics.jsonl").read_text().count("\n") for run in ("one", "run")]
    assert lines == [2, 2]
    assert (tmp_path / "run" / "episodes.jsonl").read_text().count("\n") == 4


def assert_equals_one_process(folder: Path, words: list[str]) -> None:
    """What several processes learned in `folder/run` is what this one learns."""
    alone = [*words, "run.eval_episodes=0", f"run.dir={folder / 'one'}"]
    loop.train(config.compose(alone))
    assert_close(last_state(folder / "one"), last_state(folder / "run"), rtol=1e-4, atol=1e-5)


OTHERS = {
    "pqn": ["experiment=debug", "agent=pqn", "core=gru", "agent.minibatches=1", "total_steps=128"],
    "stream": ["experiment=stream_debug", "total_steps=128"],
    "sac": ["experiment=sac_debug", "total_steps=128"],
    "r2d2": ["experiment=r2d2_debug", "total_steps=128"],
    "imagination": ["experiment=drama_debug", "total_steps=128"],
}


@pytest.mark.slow
@pytest.mark.parametrize("agent", OTHERS)
def test_other_agents_learn_in_two_processes_what_they_learn_in_one(agent, tmp_path):
    words = [*OTHERS[agent], "run.mesh=env=2", "run.chunks=2", "run.eval_episodes=0"]
    trained(tmp_path, 2, *words)
    assert_equals_one_process(tmp_path, words)


@pytest.mark.slow
def test_recorded_data_in_two_processes(tmp_path):
    """Each reads them; seeds are split, as there are no environments."""
    teacher, data = tmp_path / "teacher", tmp_path / "teacher.npz"
    small = ["core.features=8", "env.num_envs=4", "run.eval_episodes=0"]
    loop.train(config.compose(["experiment=debug", "run.eval_episodes=0", f"run.dir={teacher}"]))
    record.record_run(teacher, data, count=4)
    words = ["experiment=popgym_decision", f"agent.data={data}", *small, "agent.batch=4"]
    words += ["agent.length=16", "total_steps=128", "seeds=2", "run.mesh=seed=2", "run.chunks=2"]
    trained(tmp_path, 2, *words)
    assert_equals_one_process(tmp_path, words)


@pytest.mark.slow
def test_four_processes_train(tmp_path):
    words = ["experiment=debug", "core=gru", "seeds=2", "run.mesh=seed=2,env=2"]
    trained(tmp_path, 4, *words, "total_steps=128")
    assert "done: 128 steps" in (tmp_path / "process0.txt").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost", "reads like auto"),
        ("localhost:1234", "reads like auto"),
        ("localhost:99999,processes=2,rank=0", "reads like auto"),
        ("localhost:1234,processes=two,rank=0", "reads like auto"),
        ("localhost:1234,procs=2,rank=0", "Did you mean 'processes'"),
        ("localhost:1234,processes=2,rank=2", "2 processes have no rank 2"),
        ("localhost:1234,processes=2", "names no rank, nor does JAX_PROCESS_ID"),
    ],
)
def test_bad_settings_are_refused(text, message, monkeypatch):
    monkeypatch.delenv(distributed.RANK, raising=False)
    with pytest.raises(InputError, match=message):
        distributed.parse(text)


def test_settings_are_read(monkeypatch):
    monkeypatch.setenv(distributed.RANK, "3")
    assert distributed.parse("auto") == (None, None, None)
    assert distributed.parse("[::1]:1234,processes=8") == ("[::1]:1234", 8, 3)
    assert distributed.parse("a.b:1,processes=8,rank=0") == ("a.b:1", 8, 0)


def test_processes_take_as_many_devices_each(monkeypatch):
    def have(*counts):
        local = [[SimpleNamespace(id=(p, i)) for i in range(n)] for p, n in enumerate(counts)]
        monkeypatch.setattr(jax, "process_count", lambda: len(local))
        monkeypatch.setattr(jax, "local_devices", lambda process_index: local[process_index])

    have(4, 4)
    found = sharding._devices("env=4", 4)
    assert [device.id for device in found] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    with pytest.raises(InputError, match="takes 3 devices, as many of each process"):
        sharding._devices("env=3", 3)
    have(2, 1)
    with pytest.raises(InputError, match="which have 2, 1"):
        sharding._devices("env=2", 2)


def test_a_key_that_nobody_heeded_is_refused(tmp_path):
    words = ["experiment=debug", f"run.dir={tmp_path / 'run'}", "run.mesh=env=2"]
    words.append("run.distributed=localhost:1234,processes=2,rank=0")
    with pytest.raises(InputError, match="which joins the processes"):
        loop.train(config.compose(words))
    assert not list(tmp_path.iterdir())
