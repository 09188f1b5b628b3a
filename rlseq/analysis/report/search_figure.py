"""Parallel coordinates of the trials of a search."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from rlseq.analysis import plots
from rlseq.analysis.whole import whole

_DPI, _TICKS = 110, 5
_COLOURS = colormaps["viridis"]
_BEHIND = {"fc": "white", "ec": "none", "pad": 1, "alpha": 0.8}  # of labels, over lines


def draw(keys: dict[str, Any], trials: Sequence[Any], out: Path) -> Path:
    """One axis a key and one for the objective, a line a finished trial; pruned ones grey.

    Args:
        keys: Optuna's distributions.
        trials: of which those that finished or were pruned are drawn.
        out: a PNG file.
    """
    done = [one for one in trials if one.state.name == "COMPLETE"]
    values = [one.value for one in done]
    low, high = min(values), max(values)
    scale = Normalize(low, high)
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(2.0 + 1.7 * len(keys), 4.2), layout="constrained")
        panel = figure.subplots()
        for one in trials:
            if one.state.name == "PRUNED":
                panel.plot(_heights(keys, one), color="#bbbbbb", lw=0.9, marker="o", ms=2)
        for one in reversed(done):  # the best on top
            heights = [*_heights(keys, one), _between(low, high, one.value)]
            panel.plot(heights, color=_COLOURS(scale(one.value)), lw=1.8, marker="o", ms=3)
        ticks = [*map(_ticks, keys.values()), _numbers(low, high, np.linspace)]
        for index, labels in enumerate(ticks):
            panel.axvline(index, color="#555555", lw=0.8, zorder=0)
            for height, label in labels:
                panel.annotate(label, (index, height), (4, 0), textcoords="offset points",
                               fontsize=8, va="center", bbox=_BEHIND)  # fmt: skip
        panel.set(xlim=(-0.2, len(keys) + 0.5), ylim=(-0.05, 1.05), yticks=[])
        panel.set_xticks(range(len(ticks)), [*keys, "mean return"])
        panel.spines[:].set_visible(False)
        with whole(out) as beside:
            figure.savefig(beside, dpi=_DPI, bbox_inches="tight")
    return out


def _heights(keys: dict[str, Any], trial: Any) -> list[float]:
    return [
        _height(one, trial.params[key]) if key in trial.params else math.nan
        for key, one in keys.items()
    ]


def _height(distribution: Any, value: Any) -> float:
    """Where a value is on its axis, from 0 to 1."""
    if hasattr(distribution, "choices"):
        return _between(0, len(distribution.choices) - 1, distribution.choices.index(value))
    place = math.log if distribution.log else float
    return _between(place(distribution.low), place(distribution.high), place(value))


def _between(low: float, high: float, value: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _ticks(distribution: Any) -> list[tuple[float, str]]:
    if hasattr(distribution, "choices"):
        return [(_height(distribution, one), str(one)) for one in distribution.choices]
    spaced = np.geomspace if distribution.log else np.linspace
    return _numbers(distribution.low, distribution.high, spaced)


def _numbers(low: float, high: float, spaced: Callable[..., np.ndarray]) -> list[tuple[float, str]]:
    count = _TICKS if high > low else 1
    heights = np.linspace(0, 1, count) if count > 1 else [0.5]
    return list(zip(heights, (f"{one:.3g}" for one in spaced(low, high, count)), strict=True))
