"""`index.json` of a checkpoint: what its arrays are, with a checksum of the index itself."""

import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from rlseq.train.files import write_atomic
from rlseq.train.rings import Segment

_FILE = "index.json"


class Leaf(NamedTuple):
    """What the index says of one array."""

    shape: list[int]
    dtype: str  # of a typed key: "key<...>"
    crc32: int
    impl: str | None  # of a typed key: the name of its generator


class Index(NamedTuple):
    """What a checkpoint holds."""

    step: int
    score: float | None  # the higher the better
    leaves: dict[str, Leaf]
    rows: list[Segment]  # of its rings


def write(place: Path, index: Index) -> None:
    """Into the folder of a checkpoint."""
    data: dict[str, Any] = {"step": index.step, "score": index.score}
    data["leaves"] = {name: leaf._asdict() for name, leaf in index.leaves.items()}
    data["rows"] = [segment._asdict() for segment in index.rows]
    write_atomic(place / _FILE, json.dumps(data | {"crc32": _checksum(data)}))


def read(place: Path) -> Index:
    """Of the checkpoint in a folder. Raises OSError, or ValueError if it is damaged."""
    data = json.loads((place / _FILE).read_text(encoding="utf-8"))
    if not isinstance(data, dict) or data.get("crc32", _checksum(data)) != _checksum(data):
        raise ValueError(f"the checksum of {_FILE} is wrong")
    try:
        leaves = {name: Leaf(**leaf) for name, leaf in data["leaves"].items()}
        rows = [Segment(**segment) for segment in data.get("rows", [])]
        return Index(data["step"], data.get("score"), leaves, rows)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{_FILE} does not describe a checkpoint: {error}") from error


def find(place: Path) -> Index | None:
    """As `read`; None where it is missing or damaged."""
    try:
        return read(place)
    except (OSError, ValueError):
        return None


def _checksum(data: dict[str, Any]) -> int:
    """Of all but the checksum, which indices of earlier versions lack."""
    rest = {name: value for name, value in data.items() if name != "crc32"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())
