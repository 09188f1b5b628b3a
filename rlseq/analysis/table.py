"""Rows of run folders as one table, a line for each, with what the run was in front."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rlseq import plugins
from rlseq.errors import InputError, check_names
from rlseq.train import files, logging, runs
from rlseq.train.rows import Row

FILES = {"metrics": logging.METRICS, "episodes": logging.EPISODES}
ABOUT = ("run", "experiment", "env", "core", "agent", "seed", "step")  # first columns


def csv_text(paths: Sequence[str | Path], what: str = "metrics") -> str:
    """Comma-separated values with a header, as `pandas.read_csv` takes them.

    A row is one of a seed's chunk of training ("metrics") or one evaluation episode ("episodes").
    Columns are `ABOUT`, then those of the rows in the order in which they first come; what a row
    has not, or what is unknown, is empty. Numbers read back the same.

    Args:
        paths: run folders, or folders of run folders.
        what: "metrics" or "episodes".

    Raises InputError for another `what`, a folder that is no run and runs without rows yet.
    """
    check_names("table", [what], FILES)
    rows = [row for run in runs.open_runs(paths) for row in _rows(run, FILES[what])]
    if not rows:
        raise InputError(f"{', '.join(map(str, paths))}: no {what} yet")
    columns = dict.fromkeys([*ABOUT, *(name for row in rows for name in row)])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_csv(paths: Sequence[str | Path], out: Path, what: str = "metrics") -> None:
    """The same in a new file. Raises InputError also where it exists, and CannotWrite."""
    files.check_new(out)
    files.write_atomic(out, csv_text(paths, what))


def _rows(run: runs.Run, name: str) -> list[Row]:
    config = run.config
    about = {
        "run": str(run.folder),
        "experiment": config.run.experiment,
        "env": plugins.bare(config.env.id),
        "core": plugins.bare(config.core["name"]),
        "agent": plugins.bare(config.agent["name"]),
    }
    return [about | row for row in logging.read(run.folder / name)]
