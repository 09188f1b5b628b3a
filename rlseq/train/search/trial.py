"""What a trial is judged by: its training so far, and its evaluation at the end."""

import math
from collections.abc import Iterator
from pathlib import Path

from rlseq.train import episodes, logging

WHOLE = 100  # percent


def so_far(folder: Path, total_steps: int) -> Iterator[tuple[int, float]]:
    """(percent of training, mean return of its seeds) of each logged chunk, a percent once.

    Chunks in which no episode ended have none. Raises InputError for a damaged log.
    """
    by_step: dict[int, list[float]] = {}
    for row in logging.read(folder / logging.METRICS):
        if row.get("return") is not None:
            by_step.setdefault(row["step"], []).append(row["return"])
    before = 0
    for step, found in sorted(by_step.items()):
        percent = min(WHOLE * step // total_steps, WHOLE)
        if percent > before:
            before = percent
            yield percent, sum(found) / len(found)


def objective(folder: Path) -> float | None:
    """Mean return over the episodes of all seeds, evaluated after training; None without any.

    Raises InputError for a damaged file.
    """
    rows = episodes.after_training(logging.read(folder / logging.EPISODES))
    returns = [row["return"] for row in rows]
    known = [value for value in returns if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known and len(known) == len(returns) else None
