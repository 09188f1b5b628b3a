"""What a run remembers of its loggers, in `trackers.json`: the id of each record, and the step up
to which rows were passed on."""

import json
from pathlib import Path
from typing import Any

from rlseq.errors import InputError
from rlseq.train import files, logging

FILE = "trackers.json"
_LOGGED = "logged"  # beside the names of loggers


def last_logged(folder: Path) -> int:
    """The last step whose metrics loggers were given; 0 before the first.

    Called before the rows of a run are cut back to its checkpoint, it keeps the number: the next
    kill may come before they are there again. Raises InputError for a damaged file, CannotWrite.
    """
    rows, known = logging.read(folder / logging.METRICS), _read(folder)
    last = max(rows[-1]["step"] if rows else 0, known.get(_LOGGED, 0))
    if last > known.get(_LOGGED, 0):
        _keep(folder, known | {_LOGGED: last})
    return last


def find(folder: Path, logger: str) -> str | None:
    """The id that a logger's record of this run has; None without one."""
    return _read(folder).get(logger)


def keep(folder: Path, logger: str, record: str) -> None:
    """Remember the id of a logger's record. Raises CannotWrite."""
    _keep(folder, _read(folder) | {logger: record})


def _keep(folder: Path, known: dict[str, Any]) -> None:
    files.write_atomic(folder / FILE, json.dumps(known, indent=1) + "\n")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        known = json.loads(files.read(path))
    except ValueError:
        known = None
    if not isinstance(known, dict) or not all(_fits(*item) for item in known.items()):
        raise InputError(f"{path} is damaged: remove it, and loggers begin new records")
    return known


def _fits(name: str, value: Any) -> bool:
    return isinstance(value, int if name == _LOGGED else str) and not isinstance(value, bool)
