"""Logs of a run: one JSON object a line, always written, and extras fed from the same rows."""

import contextlib
import json
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from rlseq.train import files
from rlseq.train import rows as row_files
from rlseq.train.rows import Row

METRICS = "metrics.jsonl"
EPISODES = "episodes.jsonl"
SCHEMAS = {METRICS: row_files.METRICS, EPISODES: row_files.EPISODES}
_log = logging.getLogger("rlseq")


class Logger(Protocol):
    """A logger beside the files: what `run.loggers` names, constructed as
    `Logger(folder, start, config)`.

    `folder` is the run's, `start` the step that a resumed run goes on from (0: a new run) and
    `config` the run's configuration as nested dicts. A resumed run computes the steps after its
    checkpoint once more; a logger gets each of them once, but for one with `cuts_back = True`,
    which drops what its record has after `start` and is given all rows again.
    """

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Finite values of one step, names with slashes; `eval/...` after training."""
        ...

    def close(self) -> None:
        """Flush everything."""
        ...


class Logs:
    """Appends rows to a run's files and passes them to the loggers.

    `logged` is the last step whose metrics they were given before, by this run or the process
    that it goes on from.
    """

    def __init__(self, folder: Path, extras: Iterable[Logger] = (), logged: int = 0):
        self.folder = folder
        self.extras = list(extras)
        self.logged = logged

    def metrics(self, rows: list[Row]) -> None:
        """One chunk: a row for each seed, with `step` and `seed` among the values."""
        append(self.folder / METRICS, rows)
        again = rows[0]["step"] <= self.logged
        self._feed(rows, [one for one in self.extras if not again or _cuts_back(one)])

    def episodes(self, rows: list[Row]) -> None:
        """Evaluation episodes: seed, slot, episode, return, length, step."""
        append(self.folder / EPISODES, rows)
        if rows:
            self._feed(_evaluation_means(rows), list(self.extras))

    def close(self) -> None:
        """Close the extras; the files are closed after every line."""
        for extra in list(self.extras):
            self._call(extra, extra.close)

    def _feed(self, rows: list[Row], extras: list[Logger]) -> None:
        values: dict[str, float] = {}
        for row in rows:
            prefix = f"seed{row['seed']}/" if len(rows) > 1 else ""
            numbers = {k: float(v) for k, v in row.items() if k not in ("step", "seed")}
            values |= {prefix + k: v for k, v in numbers.items() if math.isfinite(v)}
        for extra in extras:
            self._call(extra, extra.write, rows[0]["step"], values)

    def _call(self, extra: Logger, method: Callable[..., None], *values: Any) -> None:
        """An extra that fails gets no more rows; the files have them."""
        try:
            method(*values)
        except Exception as error:  # of libraries that talk to disks and servers
            self.extras.remove(extra)
            name, message = type(extra).__name__, str(error).split("\n")[0]
            _log.warning("the logger %s failed and gets no more rows: %s", name, message)


def append(path: Path, rows: list[Row]) -> None:
    """Add rows as whole lines; numbers that JSON does not know (NaN, inf) become null.

    A line that was cut off before is ended first. Raises `rlseq.train.files.CannotWrite`; nothing
    of the rows is in the file then.
    """
    lines = [json.dumps({k: _plain(v) for k, v in row.items()}, allow_nan=False) for row in rows]
    text = "".join(line + "\n" for line in lines)
    files.append(path, (("\n" if _is_torn(path) else "") + text).encode())


def keep(rows: list[Row], folder: Path, out: Path | None, score: str) -> None:
    """Add episodes to a run, or write them to the new file `out`; errors keep the `score`.

    A run that cannot be written to is a warning, an `out` that cannot is CannotWrite.
    """
    if out is None:
        try:
            append(folder / EPISODES, rows)
        except files.CannotWrite as error:
            _log.warning("%s: the run does not hold these episodes; --out FILE does", error)
        return
    with score_in_errors(score):
        append(out, rows)


@contextlib.contextmanager
def score_in_errors(score: str) -> Iterator[None]:
    """Add the score to the message of a CannotWrite, as it took long to compute."""
    try:
        yield
    except files.CannotWrite as error:
        raise files.CannotWrite(f"{score}\n{error}", error.errno) from error


def read(path: Path) -> list[Row]:
    """The sound rows of a run's METRICS or EPISODES; none of a file that is missing.

    A damaged row is skipped with a warning that names it; a torn last line, as a kill leaves
    it, without one. Raises InputError where no row is sound.
    """
    return row_files.read(path, SCHEMAS[path.name])


def truncate_after(folder: Path, step: int) -> None:
    """Drop what lies after `step`, so that a resumed run writes no row twice; atomic.

    A damaged row stays where it is while a later one does. Raises as `read`, and CannotWrite.
    """
    for name in (METRICS, EPISODES):
        path = folder / name
        if read(path):
            _rewrite(path, _kept(row_files.lines(path, SCHEMAS[name]), step))
        elif path.exists():
            _rewrite(path, b"")


def _kept(lines: list[row_files.Line], step: int) -> bytes:
    wanted = [line.row is not None and line.row["step"] <= step for line in lines]
    last = max((i for i, keep in enumerate(wanted) if keep), default=-1)
    return b"".join(
        line.data + b"\n"
        for i, line in enumerate(lines[: last + 1])
        if wanted[i] or line.row is None
    )


def _rewrite(path: Path, data: bytes) -> None:
    before = files.read(path)
    if before == data:
        return
    if not before.startswith(data):
        files.write_atomic(path, data)
        return
    with files.writing(path.name, path.parent):
        os.truncate(path, len(data))  # needs no space


def _cuts_back(logger: Logger) -> bool:
    return getattr(logger, "cuts_back", False)


def _is_torn(path: Path) -> bool:
    if not path.exists() or not path.stat().st_size:
        return False
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def _evaluation_means(rows: list[Row]) -> list[Row]:
    means = []
    for seed in sorted({row["seed"] for row in rows}):
        mine = [row for row in rows if row["seed"] == seed]
        mean = {f"eval/{k}": sum(row[k] for row in mine) / len(mine) for k in ("return", "length")}
        means.append({"step": mine[0]["step"], "seed": seed, **mean})
    return means


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
