"""A report's numbers as CSV, in full precision; what is not known is empty."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from rlseq.analysis import scores
from rlseq.analysis.report.collect import Score
from rlseq.analysis.report.summary import Family, thresholds


def scores_csv(found: Sequence[Score]) -> str:
    """A row a game and seed."""
    return _csv([Score._fields, *found])


def games_csv(families: Sequence[Family]) -> str:
    """A row a method and game: the mean over seeds with its 95 % interval, raw and scaled."""
    header = ("method", "env", "seeds", "return", "low", "high", "scaled", "low", "high")
    rows = [
        (game.method, game.env, game.seeds, *game.returns, *game.scaled)
        for own in families
        for game in own.games
    ]
    return _csv([header, *rows])


def aggregates_csv(families: Sequence[Family]) -> str:
    """A row a family, method and measure; published agents beside ours, on the same games."""
    header = ("family", "name", "published", "games", "runs", "measure", "value", "low", "high")
    rows = [
        (own.name, one.name, published, one.games, one.runs, measure, *estimate)
        for own in families
        for published, group in (("no", own.overall), ("yes", own.published))
        for one in group
        for measure, estimate in one.measures.items()
    ]
    return _csv([header, *rows])


def profiles_csv(families: Sequence[Family]) -> str:
    """A row a method and threshold: the share of runs above it, with its 95 % interval."""
    rows: list[Sequence[Any]] = [("family", "method", "threshold", "share", "low", "high")]
    for own in families:
        for one in own.overall:
            points = thresholds(own.name)
            share = scores.profile(one.groups, points)
            rows += [(own.name, one.name, *row) for row in zip(points, *share, strict=True)]
    return _csv(rows)


def _csv(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_plain(x) for x in row] for row in rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating | np.ndarray):
        return f"{float(value):.6g}" if np.isfinite(value) else ""
    return value
