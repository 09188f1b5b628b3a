"""Learning curves of run folders as arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlseq.errors import InputError, unknown_name
from rlseq.train import logging, runs

_NO_METRICS = ("step", "seed", "seconds", "steps_per_second")


class Curve(NamedTuple):
    """One metric of one run on the steps that all its seeds reached."""

    folder: Path
    env: str
    label: str  # core and agent
    steps: np.ndarray  # int64 [N]
    seconds: np.ndarray  # float64 [N], of training
    values: np.ndarray  # float64 [S, N], finite


def read(folder: str | Path, metric: str = "return") -> Curve:
    """The curve of a run.

    A chunk without a value (no episode ended) is filled in between its neighbours. Raises
    InputError for a folder that is no run, an unknown metric and a run without values yet.
    """
    return of_run(runs.open_run(folder), metric)


def of_run(run: runs.Run, metric: str = "return") -> Curve:
    """As `read`, of a run that is open."""
    rows = logging.read(run.folder / logging.METRICS)
    if not rows:
        raise InputError(f"{str(run.folder)!r} has no metrics yet: nothing to plot")
    known = [name for name in rows[0] if name not in _NO_METRICS]
    if metric not in known:
        raise unknown_name("metric", metric, known)
    by_seed = [_seed_rows(rows, seed) for seed in sorted({row["seed"] for row in rows})]
    steps = np.array(sorted(set.intersection(*(set(own) for own in by_seed))), np.int64)
    seconds = np.array([by_seed[0][int(step)]["seconds"] for step in steps], np.float64)
    values = np.stack([_filled(steps, own, metric, run.folder) for own in by_seed])
    label = f"{run.config.core['name']} {run.config.agent['name']}"
    return Curve(run.folder, run.config.env.id, label, steps, seconds, values)


def merge(own: Sequence[Curve], label: str) -> Curve:
    """Curves of one environment as one with all their seeds, on the steps that all reached.

    Runs that logged at other steps are filled in between.
    """
    last = min(curve.steps[-1] for curve in own)
    first = max(curve.steps[0] for curve in own)
    longest = max(own, key=lambda curve: len(curve.steps))
    within = (first <= longest.steps) & (longest.steps <= last)
    steps = longest.steps[within] if within.any() else np.array([last])
    values = [np.interp(steps, curve.steps, row) for curve in own for row in curve.values]
    head = own[0]
    seconds = np.interp(steps, head.steps, head.seconds)
    return Curve(head.folder, head.env, label, steps, seconds, np.stack(values))


def _seed_rows(rows: list[logging.Row], seed: int) -> dict[int, logging.Row]:
    return {row["step"]: row for row in rows if row["seed"] == seed}


def _filled(
    steps: np.ndarray, rows: dict[int, logging.Row], metric: str, folder: Path
) -> np.ndarray:
    own = sorted(rows)
    values = np.array([rows[step].get(metric) for step in own], np.float64)
    known = np.isfinite(values)
    if not known.any():
        raise InputError(f"{str(folder)!r} has no values of {metric!r} yet: nothing to plot")
    return np.interp(steps, np.array(own)[known], values[known])
