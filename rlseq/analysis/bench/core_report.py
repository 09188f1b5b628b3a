"""Figures of cores on disk, as a table, as an image and in the documents."""

import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from rlseq.analysis.bench.core_cases import Case
from rlseq.errors import InputError
from rlseq.train.files import write_atomic
from rlseq.train.runs import environment_info

FIELDS = (
    *Case._fields,
    "parameters",
    "carry_bytes",
    "seconds",
    "temp_bytes",
    "compile_seconds",
    "matmul_ratio",
    "skipped",
    "commit",
    "time",
)
SAME = ("cpu", "device kind", "jax", "jaxlib")  # figures of one file agree in these
HEADS = ("core", "method", "case", "parameters", "carry", "time", "memory", "compile", "x matmuls")


class Figures(NamedTuple):
    """The figures of a folder: about the machine and the commands, and the row of each case."""

    about: dict[str, Any]
    rows: dict[Case, dict[str, Any]]

    def note(self, command: str) -> None:
        """Add a command to those that measured the figures."""
        if command not in self.about["commands"]:
            self.about["commands"].append(command)


def load(folder: Path) -> Figures:
    """The figures of a folder, none where it is new; about is of this machine and commit.

    Raises InputError if they are of another machine: such figures cannot be compared.
    """
    here: dict[str, Any] = dict(line.split(": ", 1) for line in environment_info().splitlines())
    here |= {"commands": []}
    path = folder / "cores.json"
    if not path.is_file():
        return Figures(here, {})
    read = json.loads(path.read_text(encoding="utf-8"))
    for name in SAME:
        if read["about"].get(name) != here[name]:
            raise InputError(
                f"{str(path)!r} was measured with {name} {read['about'].get(name)!r}, here it is "
                f"{here[name]!r}: choose another folder with --output"
            )
    here["commands"] = read["about"]["commands"]
    return Figures(here, {_key(row): row for row in read["rows"]})


def load_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder, from whatever machine; none where there are no figures yet."""
    path = folder / "cores.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []


def write(folder: Path, held: Figures) -> None:
    """cores.json with everything, cores.csv with the rows; each is replaced as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(held.rows.values())
    whole = json.dumps({"about": held.about, "rows": rows}, indent=1)
    write_atomic(folder / "cores.json", whole + "\n")
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(folder / "cores.csv", text.getvalue())


def line(row: dict) -> str:
    """A row in one line."""
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells(row), _WIDTHS, strict=True))


def cells(row: dict) -> list[str]:
    """A row in the columns of HEADS."""
    time = row["skipped"] or _seconds(row["seconds"])
    ratio = row["matmul_ratio"]
    case = "step" if row["kind"] == "step" else f"T={row['length']}"
    return [
        row["core"],
        row["method"] or "-",
        f"{case} B={row['batch']}",
        f"{row['parameters']:,}",
        f"{row['carry_bytes']:,} B",
        time,
        "-" if row["temp_bytes"] is None else f"{row['temp_bytes'] / 1e6:,.1f} MB",
        _seconds(row["compile_seconds"]),
        "-" if ratio is None else f"{ratio:.1f}",
    ]


def table(rows: list[dict]) -> Table:
    """All rows for a terminal."""
    table = Table(*HEADS, title="one layer a core")
    for row in rows:
        table.add_row(*cells(row))
    return table


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    if value < 1e-3:
        return f"{1e6 * value:.0f} us"
    return f"{1e3 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


def _key(row: dict) -> Case:
    return Case(*(row[field] for field in Case._fields))


_WIDTHS = (12, 11, 12, 10, 12, 10, 10, 8, 6)
