"""How far a job is, by its run folder and what the campaign keeps of it."""

import contextlib
from typing import NamedTuple

from rlseq.train import checkpoint, episodes, logging
from rlseq.train.campaign import locks
from rlseq.train.campaign.plan import Entry, begun

DONE, RUNNING, FAILED, UNFINISHED, MISSING = "done", "running", "failed", "unfinished", "missing"
KINDS = (DONE, RUNNING, UNFINISHED, MISSING, FAILED)


class State(NamedTuple):
    """How far a job is."""

    kind: str  # one of KINDS
    step: int  # of the newest checkpoint
    reason: str = ""  # of a failure, in one line

    def __str__(self) -> str:
        at = f" at step {self.step:,}" if self.step and self.kind != DONE else ""
        return f"{self.kind}{at}{f': {self.reason}' if self.reason else ''}"


def state(entry: Entry, *, locked: bool = False) -> State:
    """The state of a job; `locked`: this process has its lock. Raises InputError for damaged files.

    `plan.check_same` tells whether the folder is the job's.
    """
    running = not locked and locks.held(entry.file("lock"))
    if not begun(entry.folder):
        step, kind = 0, MISSING
    else:
        steps = checkpoint.steps(entry.folder / "checkpoints")
        step, kind = (steps[-1] if steps else 0), UNFINISHED
    if kind == UNFINISHED and step >= entry.config.total_steps:
        rows = logging.read(entry.folder / logging.EPISODES)
        played = episodes.own_evaluation(rows, step, entry.config.seed)
        if played >= entry.config.run.eval_episodes:
            return State(DONE, step)
    if running:
        return State(RUNNING, step)
    reason = failure(entry)
    return State(FAILED if reason else kind, step, reason)


def failure(entry: Entry) -> str:
    """Why the last try of a job failed; "" where it did not."""
    file = entry.file("failed")
    with contextlib.suppress(FileNotFoundError):
        return file.read_text(encoding="utf-8", errors="replace").strip() or "failed"
    return ""


def failed_at(entry: Entry) -> int | None:
    """When that was, to tell one failure from another."""
    with contextlib.suppress(FileNotFoundError):
        return entry.file("failed").stat().st_mtime_ns
    return None
