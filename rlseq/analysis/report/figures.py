"""Figures of a report: learning curves, scores per game, performance profiles."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, ScalarFormatter

from rlseq.analysis import atari_scores, curves, plots, scores
from rlseq.analysis.report.collect import Score, Study, family
from rlseq.analysis.report.summary import Family, thresholds
from rlseq.analysis.whole import whole
from rlseq.envs.atari.scores import REFERENCES
from rlseq.errors import InputError

_DPI, _SMALL_DPI = 110, 75  # the second for pages of many panels
_TICKS = (-2, -1, 0, 1, 2, 5, 10, 20, 50, 100)  # linear up to 2, then logarithmic
_PEER = ("Drama_XS", "as published")  # the column beside ours in figures of Atari


def draw_curves(study: Study, name: str, out: Path) -> Path | None:
    """Training returns of a family's runs, seeds as bands; None where there are no curves.

    A run without an ended episode has none, nor have runs of a method that share no steps.
    """
    chosen: dict[tuple[str, str], list[curves.Curve]] = {}
    for run, method in zip(study.runs, study.methods, strict=True):
        if family(run.config.env.id) == name:
            with contextlib.suppress(InputError):  # not a single episode ended in training
                curve = curves.of_run(run)
                chosen.setdefault((run.config.env.id, method), []).append(curve)
    merged = []
    for (_, method), own in sorted(chosen.items()):
        with contextlib.suppress(InputError):  # no steps in common
            merged.append(curves.merge(own, label=method))
    if not merged:
        return None
    with matplotlib.rc_context(plots.STYLE):
        many = len({curve.env for curve in merged}) > 6
        return _save(plots.draw(merged, "steps"), out, _SMALL_DPI if many else _DPI)


def draw_games(summary: Family, found: Sequence[Score], out: Path) -> Path:
    """A row a game: every seed a dot, the mean over seeds a bar with its interval."""
    with matplotlib.rc_context(plots.STYLE):
        rows = len(summary.envs)
        figure = Figure(figsize=(7.2, 1.4 + 0.36 * rows), layout="constrained")
        panel = figure.subplots()
        for index, method in enumerate(summary.methods):
            _draw_method(panel, summary, found, index, method)
        if summary.published:
            _draw_peer(panel, summary.envs)
        panel.set_yticks(range(rows), [env.split(":", 1)[1] for env in summary.envs])
        panel.set_ylim(rows - 0.5, -0.5)
        panel.set_xlabel(summary.scale or "mean return")
        panel.grid(axis="both", color="#dddddd", lw=0.6)
        panel.set_axisbelow(True)
        if summary.name == "atari":
            panel.axvline(1, color="#555555", lw=1, ls="--", label="human")
            panel.set_xscale("symlog", linthresh=2)
            panel.xaxis.set_major_locator(FixedLocator(_TICKS))
            panel.xaxis.set_major_formatter(ScalarFormatter())
        figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=9)
        return _save(figure, out)


def _draw_method(
    panel: Any, summary: Family, found: Sequence[Score], index: int, method: str
) -> None:
    colour = plots.COLOURS[index % len(plots.COLOURS)]
    shift = 0.5 * ((index + 1) / (len(summary.methods) + 1) - 0.5)
    heights = {env: row + shift for row, env in enumerate(summary.envs)}
    own = [game for game in summary.games if game.method == method]
    at = [heights[game.env] for game in own]
    means = np.array([game.scaled.value for game in own])
    ends = np.array([(game.scaled.low, game.scaled.high) for game in own])
    around = np.abs(ends - means[:, None]).T
    panel.errorbar(means, at, xerr=around, fmt="|", ms=11, mew=2, color=colour, label=method)
    dots = [score for score in found if score.method == method]
    values = [score.scaled for score in dots]
    panel.plot(values, [heights[score.env] for score in dots], "o", ms=3.5, color=colour, alpha=0.6)


def _draw_peer(panel: Any, envs: Sequence[str]) -> None:
    agent, how = _PEER
    means = atari_scores.published()[agent].means
    assert means is not None
    groups = dict(zip(REFERENCES, atari_scores.normalised(means), strict=True))
    values = [groups[env.removeprefix("atari:")][0] for env in envs]
    label = f"{agent}, {how}"
    panel.plot(values, range(len(envs)), "D", ms=5, mfc="none", mec="#000000", label=label)


def draw_profiles(summary: Family, out: Path) -> Path:
    """The share of runs above every score: ours with bands, published runs as thin lines."""
    points = thresholds(summary.name)
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        panel = figure.subplots()
        for index, own in enumerate(summary.overall):
            colour = plots.COLOURS[index % len(plots.COLOURS)]
            share = scores.profile(own.groups, points)
            panel.plot(points, share.value, color=colour, lw=2, label=own.name)
            panel.fill_between(points, share.low, share.high, color=colour, alpha=0.18, lw=0)
        dashes = ("-", "--", ":", "-.")
        for index, peer in enumerate(one for one in summary.published if one.runs):
            share = scores.profile(peer.groups, points).value
            grey = ("#888888", "#333333")[index // 4 % 2]
            panel.plot(points, share, lw=0.9, ls=dashes[index % 4], color=grey, label=peer.name)
        panel.set_xlabel(summary.scale or "")
        panel.set_ylabel("share of runs with a higher score")
        panel.set_ylim(0, 1.02)
        panel.margins(x=0)
        panel.grid(color="#dddddd", lw=0.6)
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)
        return _save(figure, out)


def _save(figure: Figure, out: Path, dpi: int = _DPI) -> Path:
    with whole(out) as beside:
        figure.savefig(beside, dpi=dpi, bbox_inches="tight")
    return out
