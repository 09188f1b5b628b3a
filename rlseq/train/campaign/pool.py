"""The jobs of this process that run at a time, each with its part of the machine and its lock."""

import dataclasses
import signal
import subprocess
from typing import IO, Any, NamedTuple

from rlseq import config as configuration
from rlseq import config_plugins
from rlseq.train import files
from rlseq.train.campaign import process, share
from rlseq.train.campaign.plan import Entry


class Running(NamedTuple):
    """A job that was started."""

    entry: Entry
    process: subprocess.Popen[bytes]
    slot: share.Slot
    lock: IO[Any]

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.poll()

    def stop(self) -> None:
        """Tell it to finish its chunk, save and end; at once where it was told before."""
        self.process.send_signal(signal.SIGTERM)


class Pool:
    """At most `jobs` of them; what a job means to its owner is the owner's to know."""

    def __init__(self, jobs: int):
        self.free = share.slots(jobs)
        self.active: list[Running] = []

    def start(self, entry: Entry, lock: IO[Any]) -> Running:
        """Start a job whose lock this process has taken; there must be a free slot.

        Raises CannotWrite.
        """
        modules = config_plugins.modules(dataclasses.asdict(entry.config))
        files.write_atomic(entry.file("yaml"), configuration.to_yaml(entry.config))
        slot = self.free.pop(0)
        started = process.start(entry.file("yaml"), modules, slot, [lock])
        self.active.append(Running(entry, started, slot, lock))
        return self.active[-1]

    def go(self) -> None:
        """Nothing waits here: `start` has started it."""

    def ended(self) -> list[Running]:
        """Those that have ended since they were started; each is to be closed."""
        return [job for job in self.active if job.code is not None]

    def signal(self) -> None:
        """Tell all to finish their chunk, save and end; at once where they were told before."""
        for job in self.active:
            job.stop()

    def leave(self) -> None:
        """End all and wait for it; they save what they can."""
        self.signal()
        for job in list(self.active):
            job.process.wait()
            self.close(job)

    def close(self, job: Running) -> None:
        """Give back the slot and the lock of a job that has ended."""
        self.active.remove(job)
        self.free.append(job.slot)
        self.free.sort(key=lambda slot: slot.number)
        if job.process.stdin:
            job.process.stdin.close()
        job.lock.close()
