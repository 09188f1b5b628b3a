"""Learning curves of run folders as arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlseq import plugins
from rlseq.errors import InputError, unknown_name
from rlseq.train import logging, runs

_NO_METRICS = ("step", "seed", "seconds", "steps_per_second")


class Curve(NamedTuple):
    """One metric of one run on the steps where all its seeds have values."""

    folder: Path
    env: str
    label: str  # core and agent
    steps: np.ndarray  # int64 [N]
    seconds: np.ndarray  # float64 [N], of training
    values: np.ndarray  # float64 [S, N], finite


def read(folder: str | Path, metric: str = "return") -> Curve:
    """The curve of a run.

    A chunk without a value (no episode ended) is filled in between its neighbours; before the
    first and after the last value of any seed there is no curve. Raises InputError for a folder
    that is no run, an unknown metric and a run without values yet.
    """
    return of_run(runs.open_run(folder), metric)


def of_run(run: runs.Run, metric: str = "return") -> Curve:
    """As `read`, of a run that is open."""
    rows = logging.read(run.folder / logging.METRICS)
    if not rows:
        raise InputError(f"{str(run.folder)!r} has no metrics yet, so there is nothing to plot")
    named = dict.fromkeys(name for row in rows for name in row)
    known = [name for name in named if name not in _NO_METRICS]
    if metric not in known:
        raise unknown_name("metric", metric, known)
    seeds = range(run.config.seed, run.config.seed + run.config.seeds)
    by_seed = [_seed_rows(rows, seed) for seed in sorted({row["seed"] for row in rows} & {*seeds})]
    if not by_seed:
        raise _nothing(run.folder, metric)
    known_rows = [_known(own, metric, run.folder) for own in by_seed]
    common = sorted(set.intersection(*(set(own) for own in by_seed)))
    first = max(steps[0] for steps, _ in known_rows)
    last = min(steps[-1] for steps, _ in known_rows)
    steps = np.array([step for step in common if first <= step <= last], np.int64)
    if not len(steps):
        raise _nothing(run.folder, metric)
    seconds = np.array([by_seed[0][int(step)]["seconds"] for step in steps], np.float64)
    values = np.stack([np.interp(steps, *known) for known in known_rows])
    core, agent, env = run.config.core["name"], run.config.agent["name"], run.config.env.id
    label = f"{plugins.bare(core)} {plugins.bare(agent)}"
    return Curve(run.folder, plugins.bare(env), label, steps, seconds, values)


def merge(own: Sequence[Curve], label: str) -> Curve:
    """Curves of one environment as one with all their seeds, where all of them have values.

    Runs that logged at other steps are filled in between. Raises InputError where no step lies
    within all of them.
    """
    first = max(curve.steps[0] for curve in own)
    last = min(curve.steps[-1] for curve in own)
    if first > last:
        names = ", ".join(repr(str(curve.folder)) for curve in own)
        raise InputError(f"the curves of {names} have no steps in common")
    longest = max(own, key=lambda curve: len(curve.steps))
    within = (first <= longest.steps) & (longest.steps <= last)
    steps = longest.steps[within] if within.any() else np.array([last])
    values = [np.interp(steps, curve.steps, row) for curve in own for row in curve.values]
    seconds = np.mean([np.interp(steps, curve.steps, curve.seconds) for curve in own], axis=0)
    return Curve(own[0].folder, own[0].env, label, steps, seconds, np.stack(values))


def _seed_rows(rows: list[logging.Row], seed: int) -> dict[int, logging.Row]:
    return {row["step"]: row for row in rows if row["seed"] == seed}


def _known(
    rows: dict[int, logging.Row], metric: str, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of one seed where it has values."""
    steps = np.array(sorted(rows))
    values = np.array([rows[step].get(metric) for step in sorted(rows)], np.float64)
    known = np.isfinite(values)
    if not known.any():
        raise _nothing(folder, metric)
    return steps[known], values[known]


def _nothing(folder: Path, metric: str) -> InputError:
    return InputError(
        f"{str(folder)!r} has no values of {metric!r} yet, so there is nothing to plot"
    )
