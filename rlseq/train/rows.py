"""The schema of the rows of a run's logs, checked whenever they are read."""

import functools
import json
import logging
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rlseq.errors import InputError
from rlseq.train import files

Row = dict[str, Any]
_log = logging.getLogger("rlseq")
_MOST = 2**63  # of a count: NumPy's int64


class ValueType(NamedTuple):
    """A type of value: its name in messages and its check."""

    name: str
    fits: Callable[[Any], bool]


class Schema(NamedTuple):
    """The fields of a file's rows; those that it does not name are free where `others` is None."""

    needed: dict[str, ValueType]
    known: dict[str, ValueType]  # may be missing
    others: ValueType | None


class Line(NamedTuple):
    """One line of a file: what it holds, or what is wrong with it."""

    number: int  # from 1
    data: bytes
    row: Row | None
    fault: str


def _is_number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and abs(value) <= sys.float_info.max


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST


COUNT = ValueType("a whole number from 0 to 2^63 - 1", _is_count)
LIMIT = ValueType("a whole number or null", lambda x: x is None or _is_count(x))
NUMBER = ValueType("a finite number", _is_number)
MAYBE = ValueType("a finite number or null", lambda x: x is None or _is_number(x))
FLAG = ValueType("true or false", lambda x: isinstance(x, bool))
MODE = ValueType("'sampled' or 'greedy'", lambda x: x in ("sampled", "greedy"))

METRICS = Schema({"step": COUNT, "seed": COUNT, "seconds": NUMBER}, {}, others=MAYBE)
EPISODES = Schema(
    {name: COUNT for name in ("step", "seed", "slot", "episode", "length")} | {"return": MAYBE},
    {name: COUNT for name in ("evaluation", "num_envs", "eval_seed", "trajectory")}
    | {"greedy": FLAG, "cut": FLAG, "mode": MODE, "max_steps": LIMIT, "human_normalised": MAYBE},
    others=None,
)


def read(path: Path, schema: Schema) -> list[Row]:
    """The sound rows of a file, none of a file that is missing.

    A damaged row is skipped with a warning that names it; a last line without its end, as a
    kill leaves it, without one. Raises InputError for a file that cannot be read and for one that
    has lines and not one sound row.
    """
    found = lines(path, schema)
    damaged = [line for line in found if line.row is None]
    if damaged and len(damaged) == len(found):
        raise InputError(f"{_first(path, damaged)}, and no row of the file is sound")
    if damaged:
        more = f", and {len(damaged) - 1} more rows" if len(damaged) > 1 else ""
        _warn(f"{_first(path, damaged)}{more}: skipped")
    return [line.row for line in found if line.row is not None]


def lines(path: Path, schema: Schema) -> list[Line]:
    """Every line of a file, sound or not, but for a last one that was cut off."""
    return list(_lines(files.read(path), schema)) if path.exists() else []


def _lines(data: bytes, schema: Schema) -> Iterator[Line]:
    *whole, last = data.split(b"\n")
    if last and not last.startswith(b"{"):  # no row that was cut off
        whole.append(last)
    for number, line in enumerate(whole, 1):
        try:
            yield Line(number, line, _checked(_parsed(line), schema), "")
        except ValueError as error:
            yield Line(number, line, None, str(error))


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(
            line.decode(), parse_constant=_refuse_constant, object_pairs_hook=_unlike_pairs
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ValueError("is no JSON object") from None


def _checked(row: Any, schema: Schema) -> Row:
    if not isinstance(row, dict):
        raise ValueError("is no JSON object")
    for name in schema.needed:
        if name not in row:
            raise ValueError(f"lacks {name!r}")
    types = schema.needed | schema.known
    for name, value in row.items():
        type_ = types.get(name, schema.others)
        if type_ is not None and not type_.fits(value):
            raise ValueError(f"has {_short(value)} for {name!r}, not {type_.name}")
    return row


def _refuse_constant(name: str) -> None:
    raise ValueError(f"holds {name}, which is no JSON")


def _unlike_pairs(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("holds one name twice")
    return row


def _short(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, float) or math.isfinite(value) else "infinity"
    return text if len(text) <= 30 else f"{text[:30]}..."


def _first(path: Path, damaged: list[Line]) -> str:
    return f"{path}, row {damaged[0].number} {damaged[0].fault}"


@functools.cache
def _warn(text: str) -> None:
    """Once, however often a file is read."""
    _log.warning("%s", text)
