"""Logs of a run: one JSON object a line, always written, and extras fed from the same rows."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from rlseq.train.files import write_atomic

METRICS = "metrics.jsonl"
EPISODES = "episodes.jsonl"
Row = dict[str, Any]


class Extra(Protocol):
    """A logger beside the files."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Finite values of one step, names with slashes."""
        ...

    def close(self) -> None:
        """Flush everything."""
        ...


class Logs:
    """Appends rows to a run's files and hands them to the extras."""

    def __init__(self, folder: Path, extras: Iterable[Extra] = ()):
        self.folder = folder
        self.extras = list(extras)

    def metrics(self, rows: list[Row]) -> None:
        """One chunk: a row for each seed, with `step` and `seed` among the values."""
        append(self.folder / METRICS, rows)
        self._feed(rows)

    def episodes(self, rows: list[Row]) -> None:
        """Evaluation episodes: seed, slot, episode, return, length, step."""
        append(self.folder / EPISODES, rows)
        if rows:
            self._feed(_evaluation_means(rows))

    def close(self) -> None:
        """Close the extras; the files are closed after every line."""
        for extra in self.extras:
            extra.close()

    def _feed(self, rows: list[Row]) -> None:
        values: dict[str, float] = {}
        for row in rows:
            prefix = f"seed{row['seed']}/" if len(rows) > 1 else ""
            numbers = {k: float(v) for k, v in row.items() if k not in ("step", "seed")}
            values |= {prefix + k: v for k, v in numbers.items() if math.isfinite(v)}
        for extra in self.extras:
            extra.write(rows[0]["step"], values)


def append(path: Path, rows: list[Row]) -> None:
    """Add rows as whole lines; numbers that JSON does not know (NaN, inf) become null."""
    lines = [json.dumps({k: _plain(v) for k, v in row.items()}, allow_nan=False) for row in rows]
    with open(path, "a", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))


def read(path: Path) -> list[Row]:
    """All whole rows of a file; a torn last line, as a kill leaves it, is passed over."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_bytes().split(b"\n")[:-1]:  # what follows the last newline is torn
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append(row)
    return rows


def cut_back(folder: Path, step: int) -> None:
    """Drop what lies after `step`, so that a resumed run writes no row twice; atomic."""
    for name in (METRICS, EPISODES):
        path = folder / name
        if path.exists():
            kept = [json.dumps(row) + "\n" for row in read(path) if row["step"] <= step]
            write_atomic(path, "".join(kept))


def _evaluation_means(rows: list[Row]) -> list[Row]:
    means = []
    for seed in sorted({row["seed"] for row in rows}):
        mine = [row for row in rows if row["seed"] == seed]
        mean = {f"eval/{k}": sum(row[k] for row in mine) / len(mine) for k in ("return", "length")}
        means.append({"step": mine[0]["step"], "seed": seed, **mean})
    return means


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
