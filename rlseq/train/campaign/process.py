"""The process of a job: how it is started, and why it ended. Imports nothing heavy."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from rlseq.train import files
from rlseq.train.campaign import share
from rlseq.train.campaign.job import STOPPED

COMMAND = (sys.executable, "-P", "-m", "rlseq.train.campaign.job")
_KILLED = {signal.SIGKILL: ", as the system does when memory runs out"}


def start(
    file: Path, modules: Sequence[str], slot: share.Slot, held: Sequence[IO[Any]]
) -> subprocess.Popen[bytes]:
    """Start the job of a configuration's file (`job.yaml`), its output added to `job.log`.

    Args:
        file: beside it are the job's other files.
        modules: plug-ins that the job may import.
        slot: what it may use of the machine.
        held: locks that it inherits, so that they are free only once it has ended.

    When the caller dies, the job finishes its chunk, saves and ends.
    """
    note_failure(file, "")
    with open(file.with_suffix(".log"), "ab") as log, share.pinned(slot):
        return subprocess.Popen(
            [*COMMAND, str(file), *modules],
            stdin=subprocess.PIPE,  # whose end tells the job that this process has died
            stdout=log,
            stderr=log,
            env=os.environ | slot.variables,
            pass_fds=[lock.fileno() for lock in held],
            start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on
        )


def note_failure(file: Path, reason: str) -> None:
    """Keep why a job failed, or "" that it has not, in `job.failed`. Raises CannotWrite."""
    failed = file.with_suffix(".failed")
    if reason:
        files.write_atomic(failed, f"{reason}\n")
    else:
        files.remove(failed)


def reason(code: int, file: Path) -> str:
    """Why a job failed with an exit code: the signal, or the last line of its log."""
    if code < 0:
        number = signal.Signals(-code)
        return f"killed by {number.name}{_KILLED.get(number, '')}"
    if code == STOPPED:
        return "stopped by a signal"
    log = file.with_suffix(".log")
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {code}")
    return last.removeprefix("rlseq: ")
