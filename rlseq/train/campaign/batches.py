"""Jobs of a search by a launcher of Hydra, which takes several and returns when all have ended.

One process can call Hydra once at a time: its configuration and its arguments are global. So the
next jobs start when a whole batch has ended, and nothing is composed meanwhile.
"""

import contextlib
import threading
from pathlib import Path
from typing import IO, Any, NamedTuple

from rlseq.train.campaign import launchers, worker
from rlseq.train.campaign.launchers import Launcher
from rlseq.train.campaign.plan import Entry


class Launched(NamedTuple):
    """A job of a batch."""

    entry: Entry
    batch: "Batches"

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs or waits, and where its launcher has lost it."""
        return worker.code_of(self.batch.folder, self.entry.file("yaml"))

    def stop(self) -> None:
        """Tell it, wherever it is, to finish its chunk, save and end."""
        worker.stop_file(self.batch.folder, self.entry.file("yaml")).touch()


class Batches:
    """At most `size` jobs at a time; to its owner as a `Pool` is."""

    def __init__(self, launcher: Launcher, size: int):
        self.launcher, self.size = launcher, size
        self.active: list[Launched] = []
        self._thread: threading.Thread | None = None
        self._launch = contextlib.ExitStack()
        self._error: Exception | None = None
        self.folder = Path()  # of the launch in progress

    @property
    def free(self) -> bool:
        """Whether a job may be added to the next batch."""
        return self._thread is None and len(self.active) < self.size

    def start(self, entry: Entry, lock: IO[Any]) -> Launched:
        """Add a job to the next batch; the lock is left to whoever runs it."""
        lock.close()
        self.active.append(Launched(entry, self))
        return self.active[-1]

    def go(self) -> None:
        """Launch the jobs that were added, if there are any. Raises CannotWrite."""
        if self._thread is not None or not self.active:
            return
        entries = [job.entry for job in self.active]
        slots = launchers.at_a_time(self.launcher, len(entries))
        task = self._launch.enter_context(launchers.launch(entries, slots))
        self.folder, self._error = task.folder, None

        def work() -> None:
            try:
                launchers.multirun(task, self.launcher, len(entries))
            except Exception as error:
                self._error = error
            launchers.wait_for(entries, (task.folder / worker.STOP).exists)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def ended(self) -> list[Launched]:
        """Those that have ended, and all of them when the launcher has; each is to be closed."""
        over = self._thread is not None and not self._thread.is_alive()
        return [job for job in self.active if over or job.code is not None]

    def signal(self) -> None:
        """Tell all to finish their chunk, save and end."""
        if self._thread is not None:
            (self.folder / worker.STOP).touch()

    def leave(self) -> None:
        """End all and wait for it; they save what they can."""
        self.signal()
        if self._thread is not None:
            self._thread.join()
        self._launch.close()

    def close(self, job: Launched) -> None:
        """Forget a job that has ended; with the last one the batch is over.

        Raises LauncherError then, where the launcher failed.
        """
        self.active.remove(job)
        if self.active or self._thread is None:
            return
        self._thread.join()
        self._launch.close()
        self._thread = None
        if self._error is not None:
            raise self._error
