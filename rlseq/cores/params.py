"""Parameters as `.npz` files that NumPy alone can read: no pickle, whole or absent."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from rlseq.errors import InputError
from rlseq.types import Params


def save_params(path: str | Path, params: Params) -> None:
    """Write nested dicts of arrays as a flat `.npz`, names joined by slashes; replaces a file.

    A reader sees the old file or the new one, never a part. What NumPy has no dtype for (bfloat16)
    is widened to float32, which loses nothing. Raises InputError for another ending than .npz and
    for parameters that are not nested dicts with plain names.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise InputError(f"parameters go to a file that ends in .npz, got {str(path)!r}")
    arrays = _flat(params, "")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def load_params(path: str | Path) -> Params:
    """Nested dicts of NumPy arrays from a file of `save_params` or of `rlseq export`.

    Raises InputError if the file is missing or is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            flat = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise InputError(f"no file {str(path)!r}") from None
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{str(path)!r} holds no parameters: {error}") from None
    params: dict[str, Any] = {}
    for name, array in flat.items():
        *folders, last = name.split("/")
        inside = params
        for folder in folders:
            inside = inside.setdefault(folder, {})
        inside[last] = array
    return params


def _flat(params: Params, prefix: str) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name, value in params.items():
        if not isinstance(name, str) or "/" in name or not name:
            raise InputError(f"a parameter's name is text without slashes, got {name!r}")
        if hasattr(value, "items"):
            arrays |= _flat(value, f"{prefix}{name}/")
            continue
        if not hasattr(value, "dtype"):
            raise InputError(f"parameter {prefix + name!r} is no array: {type(value).__name__}")
        array = np.asarray(value)
        arrays[prefix + name] = array.astype(np.float32) if array.dtype.kind == "V" else array
    return arrays
