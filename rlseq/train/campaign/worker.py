"""What a launcher of Hydra runs in a process or machine of its own: a job of a campaign.

The job is a process below it (`rlseq.train.campaign.process`), so that its cores and threads are
settled before JAX starts. Imports nothing heavy: launchers pickle a `Task`, and their processes
import this.
"""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from omegaconf import DictConfig

from rlseq.train import files
from rlseq.train.campaign import locks, process, share
from rlseq.train.campaign.job import BUSY, STOPPED

ALIVE, STOP = "alive", "stop"  # files of a launch: locked while its command lives; there is a stop
_TICK, _LOOK = 0.1, 1.0  # seconds until the next look at the job, and at the command


class Task:
    """Called by Hydra with the number of a job: runs or resumes it to its end.

    Args:
        files: the configurations of all jobs, absolute paths.
        modules: plug-ins that they may import.
        folder: of this launch: its locks and whether it was stopped.
        slots: how many jobs share a machine; None where each has its own.
    """

    def __init__(
        self, files: Sequence[Path], modules: Sequence[str], folder: Path, slots: int | None
    ):
        self.files, self.modules = list(files), list(modules)
        self.folder, self.slots = folder, slots
        self.owner = _here()

    def __call__(self, chosen: DictConfig) -> None:
        """Run job number `chosen.job`, unless it was stopped or another process runs it.

        A failure is kept beside the job's file, its exit code in the launch's folder. Raises
        CannotWrite.
        """
        if _here() != self.owner and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command to pass on
        file = self.files[chosen.job]
        with self._slot() as (slot, held):
            if slot is None:
                return
            lock = locks.take(file.with_suffix(".lock"))
            if lock is None:
                self._note(file, BUSY)
                return
            with lock:
                code = self._run(file, slot, [lock, *held])
        self._note(file, code)  # when the lock is free

    def _run(self, file: Path, slot: share.Slot, held: Sequence[IO[Any]]) -> int:
        """The exit code of the job; a failure is kept beside its file before the lock is free."""
        told, looked = False, time.monotonic()
        with process.start(file, self.modules, slot, held) as job:
            assert job.stdin is not None
            while (code := job.poll()) is None:
                time.sleep(_TICK)
                if not told and time.monotonic() - looked > _LOOK:
                    looked = time.monotonic()
                    if self._stopped() or stop_file(self.folder, file).exists():
                        job.stdin.close()  # once, also where this process is killed next
                        told = True
        if code not in (0, BUSY) and not (told and code in (STOPPED, -signal.SIGTERM)):
            process.note_failure(file, process.reason(code, file))
        return code

    def _note(self, file: Path, code: int) -> None:
        with contextlib.suppress(files.CannotWrite):  # of a launch whose command has given up
            files.write_atomic(_code_file(self.folder, file), str(code))

    def _stopped(self) -> bool:
        """Whether the command was told to stop, or on the same machine has died."""
        died = self.slots is not None and not locks.held(self.folder / ALIVE)
        return died or (self.folder / STOP).exists()

    @contextlib.contextmanager
    def _slot(self) -> Iterator[tuple[share.Slot | None, list[IO[Any]]]]:
        """A part of the machine that no other job has, as soon as there is one; None after a stop.

        The lock that comes with it is to be inherited by the job.
        """
        parts = [] if self.slots is None else share.slots(self.slots)
        while not self._stopped():
            if self.slots is None:
                yield share.Slot(0, (), {}), []
                return
            for part in parts:
                lock = locks.take(self.folder / f"slot{part.number}")
                if lock is not None:
                    with lock:
                        yield part, [lock]
                    return
            time.sleep(_TICK)
        yield None, []


def code_of(folder: Path, file: Path) -> int | None:
    """The exit code of a launch's job, by the file of its configuration; None before it ended."""
    with contextlib.suppress(FileNotFoundError):
        return int(_code_file(folder, file).read_text(encoding="utf-8"))
    return None


def stop_file(folder: Path, file: Path) -> Path:
    """What, once it is there, stops a single job of a launch."""
    return folder / f"{file.stem}.{STOP}"


def _code_file(folder: Path, file: Path) -> Path:
    return folder / f"{file.stem}.code"


def _here() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()
