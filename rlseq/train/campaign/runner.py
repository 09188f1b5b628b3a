"""Runs the jobs of a campaign: some at a time, each a process of its own."""

import signal
import time
from collections.abc import Sequence
from typing import Any

from rlseq.errors import InputError
from rlseq.train import files
from rlseq.train.campaign import locks, plan, process
from rlseq.train.campaign import state as states
from rlseq.train.campaign.job import BUSY, STOPPED
from rlseq.train.campaign.plan import Entry
from rlseq.train.campaign.pool import Pool, Running
from rlseq.train.campaign.progress import Board, Progress, summary
from rlseq.train.stop import Interrupted, Stop

_TICK, _LOCKED, _BUSY = 0.2, 2.0, 30.0  # seconds until the next look


def run(entries: Sequence[Entry], jobs: int, again: str) -> list[str]:
    """Run or resume what is not done, `jobs` at a time; a line for each job that failed.

    Every job is tried once, those that failed before after all others. A job that another process
    runs is waited for, and taken over if that process dies. `again` is the command that goes on.

    Raises InputError for a folder that holds something else than its job, before anything starts;
    Interrupted after a signal, when every job has saved and ended; CannotWrite.
    """
    for entry in entries:
        plan.check_same(entry)
    if entries:
        files.make_folder(entries[0].file("lock").parent)
    progress = Progress(entries)
    lines = progress.lines()
    left = sum(line.state.kind != states.DONE for line in lines)
    jobs = max(min(jobs, left), 1)  # the last ones share the machine among themselves alone
    runner = _Runner(entries, jobs, board := Board(progress, jobs))
    board.say(summary(lines, jobs))
    with Stop() as stop, board:
        try:
            while runner.step(stop.requested):
                time.sleep(_TICK)
        except BaseException:
            runner.pool.leave()
            raise
    board.say(summary(progress.lines(), jobs))
    if runner.stopping:
        raise Interrupted(f"interrupted, what ran is saved; continue with: {again}")
    return runner.failed


class _Runner:
    """The jobs that wait, those that run, and those that failed."""

    def __init__(self, entries: Sequence[Entry], jobs: int, board: Board):
        self.board = board
        self.pool = Pool(jobs)
        self.failed: list[str] = []
        self.stopping = False
        self._failed_at = {entry.folder: states.failed_at(entry) for entry in entries}
        self.waiting = sorted(entries, key=lambda one: self._failed_at[one.folder] is not None)
        self._not_before: dict[Any, float] = {}

    def step(self, stop: bool) -> bool:
        """Note what has ended and start what can be; whether there is more to come."""
        for job in self.pool.ended():
            self._end(job)
        if stop and not self.stopping:
            self.stopping = True
            running = f"after the chunks in flight, jobs that run: {len(self.pool.active)}"
            self.board.say(f"stopping {running}; a second Ctrl-C leaves at once")
            self.pool.signal()
        if not self.stopping:
            self._fill()
        self.board.refresh()
        return bool(self.pool.active) or (bool(self.waiting) and not self.stopping)

    def _fill(self) -> None:
        for entry in list(self.waiting):
            if not self.pool.free:
                return
            if time.monotonic() >= self._not_before.get(entry.folder, 0.0):
                self._try(entry)

    def _try(self, entry: Entry) -> None:
        lock = locks.take(entry.file("lock"))
        if lock is None:
            if entry.folder not in self._not_before:
                self.board.say(f"{entry}: another process runs it")
            self._not_before[entry.folder] = time.monotonic() + _LOCKED
            return
        self.waiting.remove(entry)
        try:
            found = states.state(entry, locked=True)
        except InputError as error:
            found = states.State(states.FAILED, 0, str(error))
            process.note_failure(entry.file("yaml"), found.reason)
        elsewhere = states.failed_at(entry) != self._failed_at[entry.folder]
        if found.kind == states.FAILED and elsewhere:
            self._fail(entry, found.reason)
        elif found.kind != states.DONE:
            self.pool.start(entry, lock)
            self.board.say(f"{entry}: started")
            return
        lock.close()

    def _end(self, job: Running) -> None:
        code, entry = job.process.returncode, job.entry
        stopped = self.stopping and code in (STOPPED, -signal.SIGTERM)
        if code == BUSY:
            self.waiting.append(entry)
            self._not_before[entry.folder] = time.monotonic() + _BUSY
            self.board.say(f"{entry}: a process of no campaign trains it")
        elif code == 0 or stopped:
            self.board.say(f"{entry}: {'stopped' if stopped else 'done'}")
        else:
            reason = process.reason(code, entry.file("yaml"))
            process.note_failure(entry.file("yaml"), reason)  # before the lock is free
            self._fail(entry, reason)
        self.pool.close(job)

    def _fail(self, entry: Entry, reason: str) -> None:
        self.failed.append(f"{entry}: {reason}")
        self.board.say(f"{entry}: failed: {reason}")
