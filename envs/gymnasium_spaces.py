"""Conversion of gymnasium's spaces and their elements to ours and back."""

from typing import Any

import gymnasium.spaces as theirs
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from rlseq.envs.spaces import MultiBinary, MultiDiscrete, check_choices, choices_of
from rlseq.errors import InputError
from rlseq.types import PyTree

_WIDEST = {"f": np.float32, "i": np.int32, "u": np.uint32}  # JAX has no 64 bits by default


def convert(space: Any) -> spaces.Space:
    """Our space for one of gymnasium's; Discrete begins at 0, MultiDiscrete is in one row,
    MultiBinary is a Box.

    Raises InputError for a space without a counterpart: Text, Graph, Sequence, OneOf, and for more
    choices than an int32 holds.
    """
    match space:
        case theirs.Discrete():
            check_choices(int(space.n))
            return spaces.Discrete(int(space.n))
        case theirs.MultiDiscrete():
            return MultiDiscrete(tuple(int(n) for n in space.nvec.ravel()))
        case theirs.MultiBinary():
            return spaces.Box(0, 1, space.shape, jnp.int8)
        case theirs.Box():
            dtype = narrow(space.dtype)
            low, high = (jnp.asarray(nearest(b, dtype)) for b in (space.low, space.high))
            return spaces.Box(low, high, space.shape, dtype)
        case theirs.Tuple():
            return spaces.Tuple(tuple(convert(part) for part in space.spaces))
        case theirs.Dict():
            return spaces.Dict({key: convert(part) for key, part in space.spaces.items()})
    raise InputError(
        f"the space {space} has no counterpart here; of a Dict, obs_keys names the parts to keep"
    )


def convert_action(space: Any) -> spaces.Space:
    """Our space for one of gymnasium's actions, of any shape in a row.

    MultiBinary stays; a Box of whole numbers becomes choices where its bounds are finite.

    Raises InputError as `convert`, and for actions of several parts.
    """
    if isinstance(space, theirs.Tuple | theirs.Dict):
        raise InputError(f"actions of several parts have no counterpart here: {space}")
    if isinstance(space, theirs.MultiBinary):
        return MultiBinary(int(np.prod(space.shape)))
    values = choices_of(space)
    return convert(space) if values is None else MultiDiscrete(values)


def narrow(dtype: Any) -> Any:
    """The dtype itself, or the 32 bits that stand for its 64. Raises InputError for others."""
    dtype = np.dtype(dtype)
    if dtype.kind not in (*_WIDEST, "b"):
        raise InputError(f"a space of {dtype} has no counterpart here")
    return dtype if dtype.itemsize < 8 else np.dtype(_WIDEST[dtype.kind])


def nearest(bounds: np.ndarray, dtype: Any) -> np.ndarray:
    """Bounds in a narrower dtype: whole numbers as far as it goes, floats beyond it infinite."""
    if np.issubdtype(dtype, np.integer):
        return np.clip(bounds, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
    with np.errstate(over="ignore"):
        return bounds.astype(dtype)


def fitted(numbers: Any, dtype: Any, what: str) -> np.ndarray:
    """The same numbers in a narrower dtype; floats are rounded.

    Raises OverflowError, naming `what` they are, for whole numbers that it cannot hold and for
    finite floats that would become infinite.
    """
    numbers = np.asarray(numbers)
    with np.errstate(over="ignore"):
        fitting = numbers.astype(dtype, copy=False)
    floats = np.issubdtype(numbers.dtype, np.floating)
    lost = np.isinf(fitting) & np.isfinite(numbers) if floats else fitting != numbers
    if lost.any():
        raise OverflowError(f"{what} of {numbers[lost][0]} does not fit {np.dtype(dtype)}")
    return fitting


def shapes(space: Any, rows: int) -> PyTree:
    """Shapes and dtypes of R = rows elements in JAX."""
    match space:
        case theirs.Tuple():
            return tuple(shapes(part, rows) for part in space.spaces)
        case theirs.Dict():
            return {key: shapes(part, rows) for key, part in space.spaces.items()}
        case theirs.Discrete():
            return jax.ShapeDtypeStruct((rows,), np.int32)
        case theirs.MultiDiscrete():
            return jax.ShapeDtypeStruct((rows, space.nvec.size), np.int32)
    return jax.ShapeDtypeStruct((rows, *space.shape), narrow(space.dtype))


def received(space: Any, batch: Any) -> PyTree:
    """R elements from a vector environment, in the form of `shapes`, or a single one.

    Raises OverflowError for numbers that 32 bits cannot hold.
    """
    match space:
        case theirs.Tuple():
            return tuple(received(p, x) for p, x in zip(space.spaces, batch, strict=True))
        case theirs.Dict():
            return {key: received(part, batch[key]) for key, part in space.spaces.items()}
        case theirs.Discrete() | theirs.MultiDiscrete():
            choices = np.asarray(batch).astype(np.int64) - np.asarray(space.start, np.int64)
            lead = choices.shape[: choices.ndim - len(space.shape or ())]
            row = (*lead, -1) if space.shape else lead
            return fitted(choices, np.int32, "a choice").reshape(row)
    return fitted(batch, narrow(space.dtype), "an observation")


def sent(space: Any, batch: np.ndarray) -> np.ndarray:
    """R of our actions as a vector environment takes them; choices out of range are clipped."""
    match space:
        case theirs.Discrete():
            return np.clip(batch, 0, int(space.n) - 1).astype(np.int64) + int(space.start)
        case theirs.MultiDiscrete():
            batch = batch.reshape(-1, *space.shape)
            return np.clip(batch, 0, space.nvec - 1).astype(space.dtype) + space.start
        case theirs.MultiBinary():
            return np.clip(batch, 0, 1).astype(space.dtype).reshape(-1, *space.shape)
        case theirs.Box() if choices_of(space) is not None:
            # Narrow dtypes wrap on the way to a sum that fits them.
            return batch.astype(space.dtype).reshape(-1, *space.shape) + space.low
    return np.clip(batch, space.low, space.high).astype(space.dtype)
