"""Parallel coordinates of the trials of a search."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from rlseq.analysis import plots
from rlseq.analysis.whole import whole

_DPI, _TICKS = 110, 5


def draw(keys: dict[str, Any], trials: Sequence[Any], out: Path) -> Path:
    """One axis a key and a line a finished trial, its colour the objective; pruned ones grey.

    Args:
        keys: Optuna's distributions.
        trials: of which those that finished or were pruned are drawn.
        out: a PNG file.
    """
    done = [one for one in trials if one.state.name == "COMPLETE"]
    values = [one.value for one in done]
    colours = ScalarMappable(Normalize(min(values), max(values)), "viridis")
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(2.0 + 1.7 * len(keys), 4.2), layout="constrained")
        panel = figure.subplots()
        for one in trials:
            if one.state.name == "PRUNED":
                panel.plot(_heights(keys, one), color="#bbbbbb", lw=0.9, zorder=1)
        for one in reversed(done):  # the best on top
            heights = _heights(keys, one)
            panel.plot(heights, color=colours.to_rgba(one.value), lw=1.8, marker="o", ms=3)
        for index, distribution in enumerate(keys.values()):
            panel.axvline(index, color="#555555", lw=0.8, zorder=0)
            for height, label in _ticks(distribution):
                panel.annotate(label, (index, height), (4, 0), textcoords="offset points",
                               fontsize=8, va="center")  # fmt: skip
        panel.set_xticks(range(len(keys)), list(keys))
        panel.set_xlim(-0.2, len(keys) - 0.4)
        panel.set_yticks([])
        for side in panel.spines.values():
            side.set_visible(False)
        figure.colorbar(colours, ax=panel, label="mean return")
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
        last = max(len(distribution.choices) - 1, 1)
        return distribution.choices.index(value) / last
    place = math.log if distribution.log else float
    low, high = place(distribution.low), place(distribution.high)
    return (place(value) - low) / (high - low) if high > low else 0.5


def _ticks(distribution: Any) -> list[tuple[float, str]]:
    if hasattr(distribution, "choices"):
        return [(_height(distribution, one), str(one)) for one in distribution.choices]
    space = np.geomspace if distribution.log else np.linspace
    values = space(distribution.low, distribution.high, _TICKS)
    return [(_height(distribution, float(one)), f"{one:.3g}") for one in values]
