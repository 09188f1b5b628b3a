"""Checkpoints: one folder a step, whole or absent, checked when read. Alone in using orbax.

`checkpoints/<step>/` holds `arrays/` (orbax) and `index.json` (the leaves: path, shape, dtype and
checksum). Leaves keep every bit: typed PRNG keys are stored as their key data. The rows of rings
lie beside them in `checkpoints/rows/`, each written once: see `rlseq.train.rings`.
"""

import json
import logging
import os
import shutil
import time
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rlseq.errors import InputError
from rlseq.train import rings
from rlseq.train.files import sync_folder, write_atomic
from rlseq.types import PyTree

_INDEX = "index.json"
_log = logging.getLogger("rlseq")


class Leaf(NamedTuple):
    """What the index says of one array."""

    shape: list[int]
    dtype: str  # of a typed key: "key<...>"
    crc32: int
    impl: str | None  # of a typed key: the name of its generator


def save(
    folder: Path, step: int, state: PyTree, *, keep: int = 3, score: float | None = None
) -> float:
    """Write the checkpoint of `step` and drop old ones: the newest `keep` and the best stay.

    Args:
        folder: the run's `checkpoints/`.
        step: environment steps done; a checkpoint of this step is replaced.
        state: any pytree of arrays and typed PRNG keys.
        keep: how many of the newest to keep.
        score: the higher the better; None or NaN is never the best.

    Returns:
        Seconds taken.
    """
    began = time.perf_counter()
    segments = rings.append(folder, step, state, _segments_before(folder, step))
    arrays, leaves = _to_host(rings.without_rows(state))
    beside = folder / f".new-{step}-{os.getpid()}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    _write_arrays(beside / "arrays", arrays)
    finite = score if score is not None and np.isfinite(score) else None
    index = {"step": step, "score": finite, "leaves": {k: v._asdict() for k, v in leaves.items()}}
    index["rows"] = [segment._asdict() for segment in segments]
    write_atomic(beside / _INDEX, json.dumps(index))
    place = folder / _name(step)
    if place.exists():
        _remove(place)
    os.rename(beside, place)
    sync_folder(folder)
    _rotate(folder, keep)
    return time.perf_counter() - began


def restore(folder: Path, like: PyTree, step: int | None = None) -> tuple[int, PyTree]:
    """(step, state) of the newest readable checkpoint, or of `step`.

    A damaged newest checkpoint is passed over with a warning. `like` gives structure, shapes and
    dtypes (`jax.eval_shape` of the agent's init will do).

    Raises:
        InputError: no checkpoint, none at `step`, none readable, or one of another
            configuration; then the first leaf that differs is named.
    """
    available = steps(folder)
    if step is not None and step not in available:
        known = ", ".join(map(str, available)) or "none"
        raise InputError(f"no checkpoint of step {step} in {str(folder)!r}. Known: {known}")
    for candidate in [step] if step is not None else reversed(available):
        place = folder / _name(candidate)
        try:
            return candidate, _read(place, like)
        except InputError:
            raise
        except Exception as error:  # orbax and its storage raise many kinds for damaged files
            _log.warning("checkpoint %s cannot be read (%s): passed over", place, error)
    raise InputError(f"no readable checkpoint in {str(folder)!r}")


def steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint, ascending; unfinished ones are not among them."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit())


def best(folder: Path) -> int | None:
    """The step of the checkpoint with the highest score, if any has one."""
    scored = [
        (score, step) for step in steps(folder) if (score := _score(folder, step)) is not None
    ]
    return max(scored)[1] if scored else None


def export(path: Path, tree: PyTree, about: dict[str, Any]) -> None:
    """Arrays as a flat `.npz` (names with slashes) and beside it a `.json` that describes them.

    NumPy alone reads both; what it has no dtype for (bfloat16) is widened to float32. Raises
    InputError if either file exists.
    """
    described = path.with_suffix(".json")
    for target in (path, described):
        if target.exists():
            raise InputError(f"{str(target)!r} exists already and is not overwritten")
    arrays, leaves = _to_host(tree)
    plain = {k: v if v.dtype.kind != "V" else v.astype(np.float32) for k, v in arrays.items()}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with open(beside, "wb") as file:
        np.savez(file, allow_pickle=False, **plain)
    os.replace(beside, path)
    listed = {k: {"shape": leaf.shape, "dtype": leaf.dtype} for k, leaf in leaves.items()}
    write_atomic(described, json.dumps({**about, "arrays": listed}, indent=2) + "\n")


def _name(step: int) -> str:
    return f"{step:012d}"


def _flatten(tree: PyTree) -> dict[str, Any]:
    pairs = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in pairs}


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_host(state: PyTree) -> tuple[dict[str, np.ndarray], dict[str, Leaf]]:
    flat = _flatten(state)
    data = {k: jax.random.key_data(x) if _is_key(x) else x for k, x in flat.items()}
    arrays = {k: np.asarray(x) for k, x in jax.device_get(data).items()}
    leaves = {k: _describe(x, arrays[k]) for k, x in flat.items()}
    return arrays, leaves


def _describe(leaf: Any, array: np.ndarray) -> Leaf:
    impl = str(jax.random.key_impl(leaf)) if _is_key(leaf) else None
    return Leaf(list(leaf.shape), str(leaf.dtype), _checksum(array), impl)


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def _write_arrays(place: Path, arrays: dict[str, np.ndarray]) -> None:
    import orbax.checkpoint as ocp  # a tenth of a second: not for those who only list steps

    stored = {k: x for k, x in arrays.items() if x.size}  # orbax refuses empty arrays
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(place.absolute(), args=ocp.args.PyTreeSave(stored))


def _read_arrays(place: Path, names: list[str]) -> dict[str, np.ndarray]:
    import orbax.checkpoint as ocp

    wanted = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        return checkpointer.restore(
            place.absolute(), args=ocp.args.PyTreeRestore(restore_args=wanted)
        )


def _read(place: Path, like: PyTree) -> PyTree:
    index = json.loads((place / _INDEX).read_text(encoding="utf-8"))
    leaves = {k: Leaf(**leaf) for k, leaf in index["leaves"].items()}
    bare = rings.without_rows(like)
    wanted = _flatten(bare)
    _check_same(leaves, wanted, place)
    data = {k: _storage(x) for k, x in wanted.items()}
    stored = _read_arrays(place / "arrays", [k for k, x in data.items() if x.size])
    restored = []
    for key, shape in data.items():
        array = stored[key] if shape.size else np.zeros(shape.shape, shape.dtype)
        if _checksum(array) != leaves[key].crc32:
            raise ValueError(f"the checksum of {key} is wrong")
        restored.append(_typed(array, leaves[key].impl))
    state = jax.tree.unflatten(jax.tree.structure(bare), restored)
    return rings.fill(place.parent, state, like, _segments(index))


def _check_same(leaves: dict[str, Leaf], wanted: dict[str, Any], place: Path) -> None:
    for key in [*wanted, *(k for k in leaves if k not in wanted)]:
        here = f"{list(wanted[key].shape)} {wanted[key].dtype}" if key in wanted else "absent"
        there = f"{leaves[key].shape} {leaves[key].dtype}" if key in leaves else "absent"
        if here != there:
            raise InputError(
                f"the checkpoint {str(place)!r} is of another configuration: {key} is {there} "
                f"there and {here} here"
            )


def _storage(leaf: Any) -> jax.ShapeDtypeStruct:
    """Shape and dtype of what is stored for a leaf."""
    bare = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    return jax.eval_shape(jax.random.key_data, bare) if _is_key(leaf) else bare


def _typed(array: np.ndarray, impl: str | None) -> jax.Array:
    data = jax.numpy.asarray(array)
    return jax.random.wrap_key_data(data, impl=impl) if impl else data


def _score(folder: Path, step: int) -> float | None:
    return _index(folder, step).get("score")  # damaged: it has no say in which is the best


def _index(folder: Path, step: int) -> dict[str, Any]:
    """Of a checkpoint; empty if it is damaged."""
    try:
        return json.loads((folder / _name(step) / _INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _segments(index: dict[str, Any]) -> list[rings.Segment]:
    return [rings.Segment(**segment) for segment in index.get("rows", [])]


def _segments_before(folder: Path, step: int) -> list[rings.Segment]:
    """Those of the newest checkpoint before `step`, which a state of that step carries on."""
    earlier = [known for known in steps(folder) if known < step]
    return _segments(_index(folder, earlier[-1])) if earlier else []


def _rotate(folder: Path, keep: int) -> None:
    for leftover in [*folder.glob(".new-*"), *folder.glob(".old-*")]:
        shutil.rmtree(leftover, ignore_errors=True)
    staying = {*steps(folder)[-keep:], best(folder)}
    for step in steps(folder):
        if step not in staying:
            _remove(folder / _name(step))
    rings.prune(folder, [s for step in steps(folder) for s in _segments(_index(folder, step))])


def _remove(place: Path) -> None:
    """Out of sight in one rename, so that a kill never leaves half a checkpoint in its place."""
    gone = place.with_name(f".old-{place.name}-{os.getpid()}")
    os.rename(place, gone)
    shutil.rmtree(gone, ignore_errors=True)
