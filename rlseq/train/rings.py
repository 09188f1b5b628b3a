"""Rings in checkpoints: a save writes the rows added since the one before, and no others.

`checkpoints/rows/<step>.npz` holds the rows of one save, one environment after the other; the
index of a checkpoint lists the files that make up its rings. A file is complete or absent, never
changes once a checkpoint names it, and is removed when none does.
"""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rlseq.train.files import remove, replacing
from rlseq.types import PyTree, Ring

FOLDER = "rows"


class Segment(NamedTuple):
    """One file: rows `first[i][j]` to `last[i][j]` - 1 of environment j in ring i."""

    file: str
    crc32: int
    first: list[list[int]]
    last: list[list[int]]


def without_rows(state: PyTree) -> PyTree:
    """The state with its rings empty of rows."""
    return jax.tree.map(
        lambda x: x._replace(rows=()) if _is_ring(x) else x, state, is_leaf=_is_ring
    )


def append(folder: Path, step: int, state: PyTree, before: list[Segment]) -> list[Segment]:
    """Write what the rings hold beyond the segments `before`; the segments they then consist of.

    `folder` is the run's `checkpoints/`. Segments without rows that are still held are left out.
    """
    rings = _rings(state)
    if not rings:
        return []
    last = [_written(ring) for ring in rings]
    if before and not _follows(folder, before[-1], last):
        before = []
    first = [
        np.maximum(before[-1].last[i] if before else 0, end - _length(ring)).tolist()
        for i, (ring, end) in enumerate(zip(rings, last, strict=True))
    ]
    arrays = {
        name: _take(rows, _indices(ring, first[i], last[i]), _lead_axes(ring))
        for i, ring in enumerate(rings)
        for name, rows in _named(i, ring.rows)
    }
    file = _write(folder / FOLDER, step, arrays)
    ends = [end.tolist() for end in last]
    segment = Segment(file, _checksum(arrays.values()), first, ends)
    return [*(s for s in before if _still_held(s, rings, last)), segment]


def fill(folder: Path, state: PyTree, like: PyTree, segments: list[Segment]) -> PyTree:
    """The state of `without_rows` with its rows back, of the shapes that `like` has.

    Raises ValueError or BadZipFile for a file that is damaged, OSError for one that is gone.
    """
    rings = _rings(like)
    empty = [jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), ring.rows) for ring in rings]
    for segment in segments:
        with np.load(folder / FOLDER / segment.file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if _checksum(arrays.values()) != segment.crc32:
            raise ValueError(f"the checksum of {segment.file} is wrong")
        for i, ring in enumerate(rings):
            indices = _indices(ring, segment.first[i], segment.last[i])
            for name, rows in _named(i, empty[i]):
                rows.reshape(-1, *rows.shape[_lead_axes(ring) + 1 :])[indices] = arrays[name]
    back = iter(empty)

    def put(x: Any) -> Any:
        return x._replace(rows=jax.tree.map(jax.numpy.asarray, next(back))) if _is_ring(x) else x

    return jax.tree.map(put, state, is_leaf=_is_ring)


def prune(folder: Path, kept: Iterable[Segment]) -> None:
    """Remove the files that no checkpoint names, and what a kill left half written."""
    names = {segment.file for segment in kept}
    for path in (folder / FOLDER).glob("*"):
        if path.name not in names:
            remove(path)


def _is_ring(x: Any) -> bool:
    return isinstance(x, Ring)


def _rings(state: PyTree) -> list[Ring]:
    return [x for x in jax.tree.leaves(state, is_leaf=_is_ring) if _is_ring(x)]


def _lead_axes(ring: Ring) -> int:
    """How many axes come before that of the rows."""
    return len(ring.written.shape)


def _length(ring: Ring) -> int:
    return jax.tree.leaves(ring.rows)[0].shape[_lead_axes(ring)]


def _written(ring: Ring) -> np.ndarray:
    return np.asarray(jax.device_get(ring.written)).reshape(-1)


def _named(number: int, rows: PyTree) -> list[tuple[str, Any]]:
    pairs = jax.tree_util.tree_flatten_with_path(rows)[0]
    keystr = jax.tree_util.keystr
    return [(f"{number}/{keystr(path, simple=True, separator='/')}", leaf) for path, leaf in pairs]


def _indices(ring: Ring, first: Iterable[int], last: Iterable[int]) -> np.ndarray:
    """Indices of those rows in the flattened axes [environments x L]."""
    length = _length(ring)
    bounds = enumerate(zip(first, last, strict=True))
    return np.concatenate([env * length + np.arange(a, b) % length for env, (a, b) in bounds])


def _take(rows: Any, indices: np.ndarray, lead: int) -> np.ndarray:
    shape = (-1, *rows.shape[lead + 1 :])
    if isinstance(rows, jax.Array) and any(d.platform != "cpu" for d in rows.devices()):
        return np.asarray(jax.device_get(rows.reshape(shape)[indices]))
    return np.asarray(rows).reshape(shape)[indices]  # a view of all rows, a copy of these


def _still_held(segment: Segment, rings: list[Ring], last: list[np.ndarray]) -> bool:
    return any(
        (np.asarray(segment.last[i]) > end - _length(ring)).any()
        for i, (ring, end) in enumerate(zip(rings, last, strict=True))
    )


def _follows(folder: Path, before: Segment, last: list[np.ndarray]) -> bool:
    """The newest file is sound and ends before these rows; a kill cannot damage older ones."""
    try:
        with np.load(folder / FOLDER / before.file, allow_pickle=False) as stored:
            sound = _checksum(stored[name] for name in stored.files) == before.crc32
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return False
    return sound and all((old <= new).all() for old, new in zip(before.last, last, strict=True))


def _write(folder: Path, step: int, arrays: dict[str, np.ndarray]) -> str:
    """The file's name; one of a step that was saved before gets another, as both may be named."""
    folder.mkdir(exist_ok=True)
    tries = 0
    while (path := folder / f"{step:012d}-{tries}.npz").exists():
        tries += 1
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
    return path.name


def _checksum(arrays: Iterable[np.ndarray]) -> int:
    crc = 0
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array).tobytes(), crc)
    return crc
