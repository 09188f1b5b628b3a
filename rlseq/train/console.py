"""Progress of a run: a bar in a terminal, plain lines elsewhere."""

import math
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from rlseq.train.streams import Lasting

_LINE_EVERY = 10.0  # seconds between plain lines


class Reporter:
    """Progress of one run of some seeds; with `quiet` only warnings and the end are printed."""

    def __init__(self, total_steps: int, *, seeds: int = 1, quiet: bool = False):
        self.total = total_steps
        self.seeds = seeds
        self.quiet = quiet
        out: Any = Lasting(sys.stdout) if sys.stdout else None
        self.console = Console(file=out, highlight=False, soft_wrap=True)
        self.bar: Progress | None = None
        self.last_line = -math.inf

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        if not self.quiet:
            self.console.print(text, markup=False)

    def progress(self, step: int, rate: float, score: float) -> None:
        """`step` of the whole, environment steps a second over all seeds, last mean return."""
        if self.quiet:
            return
        left = (self.total - step) * self.seeds / rate if rate else math.inf
        facts = f"{rate:,.0f} steps/s  eta {_clock(left)}  return {_number(score)}"
        if self.console.is_terminal:
            self._bar().update(self.task, completed=step, facts=facts)
        elif time.monotonic() - self.last_line >= _LINE_EVERY or step >= self.total:
            self.last_line = time.monotonic()
            self.console.print(f"step {step:,} of {self.total:,}  {facts}", markup=False)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self.bar:
            self.bar.stop()
            self.bar = None

    def _bar(self) -> Progress:
        if self.bar is None:
            columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
            self.bar = Progress(*columns, TextColumn("{task.fields[facts]}"), console=self.console)
            self.task = self.bar.add_task("train", total=self.total, facts="")
            self.bar.start()
        return self.bar


def _clock(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
