"""A run while it trains: its parts, how its state is saved, and what messages say of that."""

import contextlib
from pathlib import Path
from typing import NamedTuple

from rlseq.train import checkpoint, host_env, logging, runs
from rlseq.train.build import Job
from rlseq.train.console import Reporter
from rlseq.train.distributed import Processes
from rlseq.train.stop import Stop
from rlseq.types import PyTree


class Session(NamedTuple):
    """A run while it trains."""

    job: Job
    folder: Path
    actions: host_env.Actions
    logs: logging.Logs
    reporter: Reporter
    stop: Stop
    processes: Processes


def kept(folder: Path) -> str:
    """Which checkpoint a failure leaves."""
    steps = checkpoint.steps(folder / "checkpoints")
    last = (
        f"the checkpoint of step {steps[-1]:,} is kept" if steps else "there is no checkpoint yet"
    )
    return f"{last} in {folder}"


def going_on(job: Job, folder: Path) -> str:
    """The command that continues the run."""
    return f"continue with: rlseq resume {runs.in_command(folder, job.config)}"


def host_errors(job: Job, when: str, folder: Path) -> contextlib.AbstractContextManager[None]:
    """`host_env.host_errors` of a run in its folder."""
    return host_env.host_errors(job.agent.env, when, lambda: kept(folder))


def save(
    processes: Processes,
    folder: Path,
    step: int,
    state: PyTree,
    *,
    keep: int = 3,
    score: float | None = None,
) -> float:
    """`checkpoint.save` of a state on the devices of all processes, each of which must call it:
    the leader writes, the others wait. The seconds of writing."""
    stored = processes.gathered(host_env.without_actions(state))
    place = folder / "checkpoints"
    return processes.from_leader(
        lambda: checkpoint.save(place, step, stored, keep=keep, score=score)
    )
