"""Locks of jobs, which the system takes from a process that dies."""

import fcntl
import time
from pathlib import Path
from typing import IO, Any

from rlseq.train import files

_TRIES, _PAUSE = 5, 0.01  # a lock is looked at for microseconds


def take(path: Path) -> IO[Any] | None:
    """A lock, None where a living process has it. Raises CannotWrite.

    The system lets go of it when the last process that has the file open has ended, however that
    was. A job inherits its own, so it is taken as long as the job or whoever started it lives.
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
    """Whether a living process has a lock."""
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
