"""The figures of cores as an image: one line a core, cheapest first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from rlseq.analysis.whole import whole

PANELS = (
    ("sequence", "seconds", 1e3, "forward and backward, ms"),
    ("sequence", "temp_bytes", 1e-6, "temporary memory, MB"),
    ("step", "seconds", 1e6, "a step, microseconds"),
)
_COLOUR = "#0072B2"


def best(rows: Sequence[dict], kind: str, length: int, batch: int) -> dict[str, dict]:
    """Core -> its fastest measured row of one size."""
    found: dict[str, dict] = {}
    for row in rows:
        if (row["kind"], row["length"], row["batch"]) != (kind, length, batch):
            continue
        if row["seconds"] is not None:
            held = found.setdefault(row["core"], row)
            if row["seconds"] < held["seconds"]:
                found[row["core"]] = row
    return found


def draw(rows: Sequence[dict]) -> Figure:
    """Three panels over the cores, each with its fastest method: time, memory, a step.

    Sequences are of length 1024 where that was measured, else of the longest; steps of the
    smallest batch.
    """
    sequences = [row for row in rows if row["kind"] == "sequence"]
    lengths = {row["length"] for row in sequences if row["seconds"] is not None} or {0}
    length = 1024 if 1024 in lengths else max(lengths)
    batch = max((row["batch"] for row in sequences), default=0)
    smallest = min((row["batch"] for row in rows if row["kind"] == "step"), default=0)
    chosen = {"sequence": best(rows, "sequence", length, batch)}
    chosen["step"] = best(rows, "step", 1, smallest)
    order = sorted(chosen["sequence"], key=lambda core: -chosen["sequence"][core]["seconds"])
    figure = Figure(figsize=(11, 1.4 + 0.24 * len(order)), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for panel, (kind, field, scale, title) in zip(panels, PANELS, strict=True):
        size = f"T = {length}, B = {batch}" if kind == "sequence" else f"B = {smallest}"
        _panel(panel, order, chosen[kind], field, scale)
        panel.set_xlabel(f"{title} ({size})")
    names = [f"{core} {chosen['sequence'][core]['method']}".strip() for core in order]
    panels[0].set_yticks(range(len(order)), names)
    return figure


def write(folder: Path, rows: Sequence[dict]) -> Path:
    """Write cores.png into the folder; its path."""
    path = folder / "cores.png"
    style: dict[Any, Any] = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
    with matplotlib.rc_context(style), whole(path) as beside:
        draw(rows).savefig(beside, dpi=150)
    return path


def _panel(panel: Any, order: list[str], chosen: dict[str, dict], field: str, scale: float) -> None:
    for place, core in enumerate(order):
        row = chosen.get(core)
        if row and row[field]:
            panel.plot(scale * row[field], place, "o", color=_COLOUR, ms=5)
    panel.set_xscale("log")
    panel.grid(axis="both", color="#dddddd", lw=0.6)
    panel.set_axisbelow(True)
