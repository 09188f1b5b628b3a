"""Checkpoints: one folder a step, complete or absent, checked when read. The only user of orbax.

`checkpoints/<step>/` holds `arrays/` (orbax) and `index.json` (the leaves: path, shape, dtype and
checksum). Leaves keep every bit: typed PRNG keys are stored as their key data. The rows of rings
are in `checkpoints/rows/`, each written once: see `rlseq.train.rings`.
"""

import contextlib
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlseq.errors import InputError
from rlseq.train import checkpoint_index as index_files
from rlseq.train import files, rings
from rlseq.train import leaves as leaves_of
from rlseq.train.checkpoint_index import Index, Leaf
from rlseq.train.files import remove, sync_folder, writing
from rlseq.types import PyTree

_PATTERNS = "*?[\\"  # what orbax reads in a path as more than a name
_ASIDE = ".aside-"  # a checkpoint that is being replaced
_LAST_WORDS = 1.0  # seconds until the threads of orbax have reported a failure
_log = logging.getLogger("rlseq")


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

    Raises `rlseq.train.files.CannotWrite`; the checkpoints are then those that were there before.
    """
    began = time.perf_counter()
    with writing(f"the checkpoint of step {step:,}", folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _put(folder, step, _write(folder, step, state, score))
        except BaseException:
            sweep(folder)
            raise
        _rotate(folder, keep)
    return time.perf_counter() - began


def sweep(folder: Path) -> None:
    """Remove leftovers of kills and full disks that no checkpoint needs.

    Only for the process that holds the run: another's work looks just the same.
    """
    for aside in folder.glob(f"{_ASIDE}*"):  # a kill came before the new one was in its place
        place = folder / aside.name.removeprefix(_ASIDE).partition("-")[0]
        if not place.exists():
            with contextlib.suppress(OSError):
                os.rename(aside, place)
    for pattern in (".new-*", ".old-*", f"{_ASIDE}*"):
        for leftover in folder.glob(pattern):
            remove(leftover)
    indices = [index_files.find(folder / _name(step)) for step in steps(folder)]
    if None not in indices:  # a damaged one may name any file
        rings.prune(folder, [s for index in indices if index for s in index.rows])


def restore(folder: Path, like: PyTree, step: int | None = None) -> tuple[int, PyTree]:
    """(step, state) of the newest readable checkpoint, or of `step`.

    A damaged newest checkpoint is skipped with a warning. `like` gives structure, shapes and
    dtypes (`jax.eval_shape` of the agent's init will do).

    Raises:
        InputError: no checkpoint, none at `step`, none readable, or one of another
            configuration; then the first leaf that differs is named.
    """
    return _newest(folder, step, lambda place: _read(place, like))


def read_leaves(
    folder: Path, choose: Callable[[dict[str, Leaf]], Iterable[str]]
) -> tuple[int, dict[str, np.ndarray]]:
    """(step, some leaves by name) of the newest readable checkpoint, whatever made it.

    `choose` is given what the index says of all leaves, and names those to read; typed keys and
    rows of rings are not for it. Raises InputError without a readable checkpoint.
    """

    def read(place: Path) -> dict[str, np.ndarray]:
        leaves = index_files.read(place).leaves
        names = list(choose(leaves))
        full = [k for k in names if 0 not in leaves[k].shape]
        stored = _read_arrays(place / "arrays", full) if full else {}
        empty = {k: np.zeros(leaves[k].shape, leaves[k].dtype) for k in names if k not in stored}
        for name, array in stored.items():
            _check_sum(name, array.reshape(leaves[name].shape), leaves[name])
        return stored | empty

    return _newest(folder, None, read)


def steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint, ascending; unfinished ones are not among them."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal())


def best(folder: Path) -> int | None:
    """The step of the checkpoint with the highest score, if any has one."""
    found = ((index_files.find(folder / _name(step)), step) for step in steps(folder))
    # Damaged ones are left out.
    scored = [(i.score, step) for i, step in found if i is not None and i.score is not None]
    return max(scored)[1] if scored else None


def _name(step: int) -> str:
    return f"{step:012d}"


def _write_arrays(place: Path, arrays: dict[str, np.ndarray]) -> None:
    import orbax.checkpoint as ocp  # a tenth of a second: not for those who only list steps

    stored = {k: x for k, x in arrays.items() if x.size}  # orbax refuses empty arrays
    overhead = 2**17 + 512 * len(stored)  # measured: its own files
    files.reserve(place.parent, sum(x.nbytes for x in stored.values()) + overhead)
    with _as_os_errors(), _plainly_named(place) as plain, _alone() as checkpointer:
        checkpointer.save(plain, args=ocp.args.PyTreeSave(stored))


def _alone() -> Any:
    """A checkpointer that waits for no other process of a run: it writes and reads NumPy arrays."""
    import orbax.checkpoint as ocp

    own = jax.process_index()
    options = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=options)


@contextlib.contextmanager
def _plainly_named(place: Path) -> Iterator[Path]:
    """The same place for orbax, which takes `*`, `?` and `[x]` in a path for patterns and a
    backslash for a slash: where there are such, through a link without them."""
    whole = place.absolute()
    if not set(_PATTERNS) & set(str(whole)):
        yield whole
        return
    with tempfile.TemporaryDirectory(prefix="rlseq-") as folder:
        link = Path(folder, "checkpoint")
        link.symlink_to(whole.parent, target_is_directory=True)
        yield link / whole.name


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """The OSError behind orbax's report of a full disk, without a traceback of every array on
    the terminal."""
    level, hook = logging.root.manager.disable, sys.unraisablehook
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None
    try:
        yield
    except ValueError as error:
        time.sleep(_LAST_WORDS)
        found = re.search(r"os_error_code='?(\d+)", str(error))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
    finally:
        logging.disable(level)
        sys.unraisablehook = hook


def _read_arrays(place: Path, names: list[str]) -> dict[str, np.ndarray]:
    import orbax.checkpoint as ocp

    wanted = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
    with _plainly_named(place) as plain, _alone() as checkpointer:
        args = ocp.args.PyTreeRestore(dict.fromkeys(names, 0), wanted, partial_restore=True)
        return checkpointer.restore(plain, args=args)


def _read(place: Path, like: PyTree) -> PyTree:
    index = index_files.read(place)
    leaves = index.leaves
    bare = rings.without_rows(like)
    wanted = leaves_of.flatten(bare)
    _check_same(leaves, wanted, place)
    data = {k: leaves_of.storage(x) for k, x in wanted.items()}
    stored = _read_arrays(place / "arrays", [k for k, x in data.items() if x.size])
    restored = []
    for key, shape in data.items():
        array = stored[key] if shape.size else np.zeros(shape.shape, shape.dtype)
        _check_sum(key, array, leaves[key])
        restored.append(leaves_of.typed(array, leaves[key].impl))
    state = jax.tree.unflatten(jax.tree.structure(bare), restored)
    return rings.fill(place.parent, state, like, index.rows)


def _newest(folder: Path, step: int | None, read: Callable[[Path], Any]) -> tuple[int, Any]:
    """(step, what `read` makes of it) of the newest checkpoint that can be read, or of `step`."""
    available = steps(folder)
    if step is not None and step not in available:
        known = ", ".join(map(str, available)) or "none"
        raise InputError(f"no checkpoint of step {step} in {str(folder)!r}. Known: {known}")
    for candidate in [step] if step is not None else reversed(available):
        place = folder / _name(candidate)
        try:
            return candidate, read(place)
        except InputError:
            raise
        except Exception as error:  # orbax and its storage raise many kinds for damaged files
            _log.warning("checkpoint %s cannot be read (%s): skipped", place, error)
    raise InputError(f"no readable checkpoint in {str(folder)!r}")


def _check_sum(name: str, array: np.ndarray, leaf: Leaf) -> None:
    if leaves_of.checksum(array) != leaf.crc32:
        raise ValueError(f"the checksum of {name} is wrong")


def _check_same(leaves: dict[str, Leaf], wanted: dict[str, Any], place: Path) -> None:
    for key in [*wanted, *(k for k in leaves if k not in wanted)]:
        here = f"{list(wanted[key].shape)} {wanted[key].dtype}" if key in wanted else "absent"
        there = f"{leaves[key].shape} {leaves[key].dtype}" if key in leaves else "absent"
        if here != there:
            raise InputError(
                f"the checkpoint {str(place)!r} is of another configuration: {key} is {there} "
                f"there and {here} here"
            )


def _segments_before(folder: Path, step: int) -> list[rings.Segment]:
    """Those of the newest checkpoint before `step`, which a state of that step carries on."""
    earlier = [known for known in steps(folder) if known < step]
    index = index_files.find(folder / _name(earlier[-1])) if earlier else None
    return index.rows if index else []


def _write(folder: Path, step: int, state: PyTree, score: float | None) -> Path:
    """A whole checkpoint beside its place."""
    segments = rings.append(folder, step, state, _segments_before(folder, step))
    arrays, leaves = leaves_of.to_host(rings.without_rows(state))
    beside = folder / f".new-{step}-{os.getpid()}"
    remove(beside)
    beside.mkdir()
    _write_arrays(beside / "arrays", arrays)
    finite = float(score) if score is not None and np.isfinite(score) else None
    index_files.write(beside, Index(step, finite, leaves, segments))
    return beside


def _put(folder: Path, step: int, beside: Path) -> None:
    """A checkpoint in its place; one of the same step stays whole until then, under some name."""
    place, aside = folder / _name(step), folder / f"{_ASIDE}{_name(step)}-{os.getpid()}"
    if place.exists():
        os.rename(place, aside)
    os.rename(beside, place)
    sync_folder(folder)


def _rotate(folder: Path, keep: int) -> None:
    staying = {*steps(folder)[-keep:], best(folder)}
    for step in steps(folder):
        if step not in staying:
            # Hidden by one rename: a kill never leaves half a checkpoint.
            os.rename(folder / _name(step), folder / f".old-{_name(step)}-{os.getpid()}")
    sweep(folder)
