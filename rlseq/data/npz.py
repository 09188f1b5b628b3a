"""Recordings in one `.npz` file: arrays and a JSON text, no pickles.

`action`, `reward`, `terminated` and `truncated` [N, ...] lie under their names; observations under
`obs`, or for structures under `obs/KEY/...`, where entries of a tuple are numbered. `about` holds
UTF-8 bytes of a JSON object, whose "format" is 1.
"""

import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np

from rlseq.data.recording import Recording, check_recording
from rlseq.errors import InputError
from rlseq.types import PyTree

FORMAT = 1
_ARRAYS = ("action", "reward", "terminated", "truncated")


def save_npz(recording: Recording, file: BinaryIO) -> None:
    """Write a recording to an open file. Raises InputError for what `check_recording` refuses."""
    check_recording(recording, "the recording")
    named = jax.tree_util.tree_flatten_with_path({"obs": recording.obs})[0]
    arrays = {jax.tree_util.keystr(p, simple=True, separator="/"): leaf for p, leaf in named}
    arrays |= {name: getattr(recording, name) for name in _ARRAYS}
    about = json.dumps({"format": FORMAT, **recording.about}).encode()
    np.savez(file, allow_pickle=False, about=np.frombuffer(about, np.uint8), **arrays)


def load_npz(path: Path) -> Recording:
    """The recording of a file. Raises InputError for a file that is none or is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(arrays.pop("about").tobytes())
        if about.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        given = {name: arrays.pop(name) for name in _ARRAYS}
        recording = Recording(obs=_nested(arrays)["obs"], about=about, **given)
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
    ) as error:
        raise InputError(f"{str(path)!r} is not a recording: {_reason(error)}") from error
    return check_recording(recording, repr(str(path)))


def _nested(arrays: dict[str, np.ndarray]) -> dict[str, PyTree]:
    """Names with slashes as dicts of dicts, tuples where all keys are numbers."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *outer, last = name.split("/")
        inside = tree
        for key in outer:
            inside = inside.setdefault(key, {})
        inside[last] = array
    return {key: _tuples(part) for key, part in tree.items()}


def _tuples(tree: PyTree) -> PyTree:
    if not isinstance(tree, dict):
        return tree
    parts = {key: _tuples(part) for key, part in tree.items()}
    if all(key.isdigit() for key in parts):
        return tuple(parts[str(i)] for i in range(len(parts)))
    return parts


def _reason(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)
