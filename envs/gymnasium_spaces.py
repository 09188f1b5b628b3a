"""gymnasium's spaces as ours, and elements on their way between the two."""

from typing import Any

import gymnasium.spaces as theirs
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError
from rlseq.types import PyTree

_WIDEST = {"f": np.float32, "i": np.int32, "u": np.uint32}  # JAX has no 64 bits by default


def convert(space: Any) -> spaces.Space:
    """Our space for one of gymnasium's; Discrete begins at 0, MultiBinary is a Box.

    Raises InputError for a space without a counterpart: Text, Graph, Sequence, OneOf.
    """
    match space:
        case theirs.Discrete():
            return spaces.Discrete(int(space.n))
        case theirs.MultiDiscrete() if space.nvec.ndim == 1:
            return MultiDiscrete(tuple(int(n) for n in space.nvec))
        case theirs.MultiBinary():
            return spaces.Box(0, 1, space.shape, jnp.int8)
        case theirs.Box():
            dtype = narrow(space.dtype)
            low, high = (jnp.asarray(b.astype(dtype)) for b in (space.low, space.high))
            return spaces.Box(low, high, space.shape, dtype)
        case theirs.Tuple():
            return spaces.Tuple(tuple(convert(part) for part in space.spaces))
        case theirs.Dict():
            return spaces.Dict({key: convert(part) for key, part in space.spaces.items()})
    raise InputError(f"the space {space} has no counterpart here")


def narrow(dtype: Any) -> Any:
    """The dtype itself, or the 32 bits that stand for its 64."""
    dtype = np.dtype(dtype)
    return dtype if dtype.itemsize < 8 else np.dtype(_WIDEST[dtype.kind])


def shapes(space: Any, rows: int) -> PyTree:
    """What JAX receives of R = rows elements."""
    match space:
        case theirs.Tuple():
            return tuple(shapes(part, rows) for part in space.spaces)
        case theirs.Dict():
            return {key: shapes(part, rows) for key, part in space.spaces.items()}
        case theirs.Discrete():
            return jax.ShapeDtypeStruct((rows,), np.int32)
    return jax.ShapeDtypeStruct((rows, *space.shape), narrow(space.dtype))


def received(space: Any, batch: Any) -> PyTree:
    """R elements as a vector environment gives them, in the form of `shapes`."""
    match space:
        case theirs.Tuple():
            return tuple(received(p, x) for p, x in zip(space.spaces, batch, strict=True))
        case theirs.Dict():
            return {key: received(part, batch[key]) for key, part in space.spaces.items()}
        case theirs.Discrete() | theirs.MultiDiscrete():
            return (np.asarray(batch) - space.start).astype(np.int32)
    return np.asarray(batch, narrow(space.dtype))


def sent(space: Any, batch: np.ndarray) -> np.ndarray:
    """R of our actions as a vector environment takes them; choices out of range are clipped."""
    match space:
        case theirs.Discrete():
            return np.clip(batch, 0, space.n - 1).astype(np.int64) + space.start
        case theirs.MultiDiscrete():
            return np.clip(batch, 0, space.nvec - 1).astype(space.dtype) + space.start
    return np.clip(batch, space.low, space.high).astype(space.dtype)
