"""What is done of a campaign, how long the rest takes, and both as a table."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Table

from rlseq import plugins
from rlseq.train import logging
from rlseq.train.campaign import state as states
from rlseq.train.campaign.plan import Entry
from rlseq.train.campaign.state import State
from rlseq.train.streams import Lasting

_REFRESH, _LINE_EVERY = 5.0, 60.0  # seconds


class Line(NamedTuple):
    """One job."""

    entry: Entry
    state: State
    step: int  # of the newest row of its log
    pace: float | None  # seconds a step; None before the first row

    @property
    def seconds_left(self) -> float | None:
        """Of training, by its own pace; without compiling, saving and evaluation."""
        left = max(self.entry.config.total_steps - self.step, 0)
        return None if self.pace is None else left * self.pace


class Progress:
    """The jobs of a campaign; those that are done are read once."""

    def __init__(self, entries: Sequence[Entry]):
        self.entries = entries
        self._done: dict[Path, Line] = {}

    def lines(self) -> list[Line]:
        """Every job as it is now. Raises InputError for damaged files."""
        return [self._done.get(entry.folder) or self._read(entry) for entry in self.entries]

    def _read(self, entry: Entry) -> Line:
        found = states.state(entry)
        rows = logging.read(entry.folder / logging.METRICS)
        last: dict[str, Any] = rows[-1] if rows else {"step": 0, "seconds": 0.0}
        pace = last["seconds"] / last["step"] if last["step"] else None
        line = Line(entry, found, last["step"], pace)
        if found.kind == states.DONE:
            self._done[entry.folder] = line
        return line


def seconds_left(lines: Sequence[Line], jobs: int) -> float | None:
    """Of training, for what is not done, with so many jobs at a time; None without any row.

    A job that has no row yet takes the mean pace of the most similar jobs that have: of the same
    environment, core and agent, else of the same core and agent, else of all.
    """
    paces: dict[tuple[str, ...], list[float]] = {}
    for line in lines:
        for key in _likenesses(line.entry):
            if line.pace is not None:
                paces.setdefault(key, []).append(line.pace)
    if not paces:
        return None
    total, longest = 0.0, 0.0
    for line in lines:
        if line.state.kind == states.DONE:
            continue
        own = next(paces[key] for key in _likenesses(line.entry) if key in paces)
        pace = sum(own) / len(own) if line.pace is None else line.pace
        left = line._replace(pace=pace).seconds_left or 0.0
        total, longest = total + left, max(longest, left)
    return max(total / jobs, longest)


def summary(lines: Sequence[Line], jobs: int) -> str:
    """One line: how many are how far, and the time left."""
    counts = Counter(line.state.kind for line in lines)
    parts = [f"{counts[kind]} {kind}" for kind in states.KINDS if counts[kind]]
    if counts[states.DONE] < len(lines):
        parts.append(f"about {_hours(seconds_left(lines, jobs))} left, {jobs} at a time")
    return f"{len(lines)} job{'s' if len(lines) != 1 else ''}: {', '.join(parts)}"


def table(lines: Sequence[Line], title: str) -> Table:
    """A row a job: its folder, state, steps and hours left."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    made.add_column("job", overflow="fold")
    made.add_column("state", no_wrap=True)
    for name in ("steps", "of", "left"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("error", overflow="fold")
    for line in lines:
        done = line.state.kind == states.DONE
        steps, total = f"{line.step:,}", f"{line.entry.config.total_steps:,}"
        left = "" if done else _hours(line.seconds_left)
        made.add_row(str(line.entry), line.state.kind, steps, total, left, line.state.reason)
    return made


def show(lines: Sequence[Line], jobs: int) -> None:
    """Print the table of all jobs, and the summary."""
    console = _console()
    if not console.is_terminal:  # a file or a pipe takes lines of any length
        console.width = 400
    console.print(table(lines, ""), markup=False)
    console.print(summary(lines, jobs), markup=False, soft_wrap=True)


class Board:
    """Progress while jobs run: the running ones in a terminal, lines elsewhere."""

    def __init__(self, progress: Progress, jobs: int):
        self.progress, self.jobs = progress, jobs
        self.console = _console()
        self.live: Live | None = None
        self._last = time.monotonic()

    def __enter__(self) -> "Board":
        if self.console.is_terminal:
            self.live = Live(console=self.console, auto_refresh=False, transient=True)
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def say(self, text: str) -> None:
        """A line of its own."""
        self.console.print(text, markup=False, soft_wrap=True)

    def refresh(self) -> None:
        """Show the progress again when it is time to."""
        every = _REFRESH if self.live else _LINE_EVERY
        if time.monotonic() - self._last < every:
            return
        self._last = time.monotonic()
        lines = self.progress.lines()
        if self.live:
            running = [line for line in lines if line.state.kind == states.RUNNING]
            self.live.update(table(running, summary(lines, self.jobs)), refresh=True)
        else:
            self.say(summary(lines, self.jobs))


def _likenesses(entry: Entry) -> list[tuple[str, ...]]:
    config = entry.config
    both = repr(config.core), plugins.bare(config.agent["name"])
    return [(config.env.id, *both), both, ()]


def _hours(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def _console() -> Console:
    out: Any = Lasting(sys.stdout) if sys.stdout else None
    return Console(file=out, highlight=False)
