"""Figures of run folders: learning curves with seeds as bands, PNG and SVG."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.ticker
from matplotlib.figure import Figure

from rlseq.analysis.curves import Curve, read
from rlseq.analysis.scores import FEW, band, iqm
from rlseq.analysis.whole import whole
from rlseq.errors import InputError, check_names
from rlseq.train.files import CannotWrite

AXES = {"steps": "environment steps", "seconds": "seconds of training"}
# Okabe and Ito's colours: distinct with any colour vision, and in print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#333333",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "svg.fonttype": "none",
    "svg.hashsalt": "rlseq",
}


def plot_runs(
    folders: Sequence[str | Path], out: Path | None = None, *, x: str = "steps"
) -> list[Path]:
    """Write `learning_curve.png` and `.svg`; the paths.

    One panel an environment, one line a run, its seeds a band. `out` is the folder to write to;
    without it a single run's `plots/`, or `plots` here for several.

    Raises InputError and CannotWrite.
    """
    if not folders:
        raise InputError("no run to plot")
    check_names("axis", [x], AXES)
    curves = [read(folder) for folder in {Path(f).resolve(): f for f in folders}.values()]
    place = out or (curves[0].folder / "plots" if len(curves) == 1 else Path("plots"))
    paths = [place / f"learning_curve.{kind}" for kind in ("png", "svg")]
    with matplotlib.rc_context(STYLE):
        figure = draw(curves, x)
        try:
            _save(figure, paths)
        except CannotWrite as error:
            hint = "" if out else "; --out FOLDER writes to another folder"
            raise CannotWrite(f"{error}{hint}", error.errno) from error
    return paths


def _save(figure: Figure, paths: Sequence[Path]) -> None:
    for path in paths:
        dated = {"Date": None} if path.suffix == ".svg" else {}
        with whole(path) as beside:
            figure.savefig(beside, dpi=160, bbox_inches="tight", metadata=dated)


def draw(curves: list[Curve], x: str) -> Figure:
    """The figure of some curves; needs no display."""
    environments = list(dict.fromkeys(curve.env for curve in curves))
    columns = min(3, len(environments))
    rows = -(-len(environments) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, env in zip(panels, environments, strict=False):
        _panel(panel, env, [curve for curve in curves if curve.env == env], x)
    for panel in panels[len(environments) :]:
        panel.set_visible(False)
    return figure


def _panel(panel: Any, env: str, curves: list[Curve], x: str) -> None:
    labels = _labels(curves)
    for index, (curve, label) in enumerate(zip(curves, labels, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        where = curve.steps if x == "steps" else curve.seconds
        low, high = band(curve.values)
        panel.plot(where, iqm(curve.values), color=colour, lw=1.8, label=label)
        panel.fill_between(where, low, high, color=colour, alpha=0.18, lw=0)
    panel.set_title(env, fontsize=10, loc="left", color="#333333")
    panel.set_xlabel(AXES[x])
    panel.set_ylabel("mean return")
    panel.grid(axis="y", color="#dddddd", lw=0.6)
    panel.set_axisbelow(True)
    panel.margins(x=0.01)
    if x == "steps":
        panel.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=""))
    panel.legend(
        frameon=False,
        fontsize=9,
        loc="best",
        title=_band(curves),
        title_fontsize=8,
        alignment="left",
    )


def _labels(curves: list[Curve]) -> list[str]:
    """Core and agent, with the folder's name where those are equal."""
    plain = [curve.label for curve in curves]
    return [
        label if plain.count(label) == 1 else f"{label} ({curve.folder.absolute().name})"
        for label, curve in zip(plain, curves, strict=True)
    ]


def _band(curves: list[Curve]) -> str | None:
    """The legend of lines and bands; below FEW seeds the band is the range."""
    several = [len(curve.values) for curve in curves if len(curve.values) > 1]
    few, many = (sorted({n for n in several if (n < FEW) == fewer}) for fewer in (True, False))
    parts = []
    if few:
        parts.append(f"mean of {' or '.join(map(str, few))} seeds, from the lowest to the highest")
    if many:
        parts.append(f"IQM of {' or '.join(map(str, many))} seeds, 95 % bootstrap interval")
    return "\n".join(parts) or None
