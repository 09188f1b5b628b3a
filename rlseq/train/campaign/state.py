"""How far a job is, by its run folder and what the campaign keeps of it."""

import contextlib
import fcntl
import time
from pathlib import Path
from typing import IO, Any, NamedTuple

from rlseq.train import checkpoint, episodes, files, logging
from rlseq.train.campaign.plan import Entry, begun

DONE, RUNNING, FAILED, UNFINISHED, MISSING = "done", "running", "failed", "unfinished", "missing"
KINDS = (DONE, RUNNING, UNFINISHED, MISSING, FAILED)
_TRIES, _PAUSE = 5, 0.01  # a lock is looked at for microseconds


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
    running = not locked and held(entry.file("lock"))
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


def note_failure(entry: Entry, reason: str) -> None:
    """Keep why a job failed, or "" that it has not. Raises CannotWrite."""
    file = entry.file("failed")
    if reason:
        files.write_atomic(file, f"{reason}\n")
    else:
        files.remove(file)


def take(path: Path) -> IO[Any] | None:
    """The lock of a job, None where a living process has it. Raises CannotWrite.

    The system lets go of it when the last process that has the file open has ended, however that
    was. A job inherits it, so it is taken as long as the job or the campaign that started it lives.
    """
    with files.writing("a job's lock", path.parent):
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115
    for _ in range(_TRIES):
        if _lock(file, fcntl.LOCK_EX):
            return file
        time.sleep(_PAUSE)
    file.close()
    return None


def held(path: Path) -> bool:
    """Whether a living process has a job's lock."""
    try:
        with open(path, encoding="utf-8") as file:
            return not _lock(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _lock(file: IO[Any], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
