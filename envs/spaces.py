"""Additions to gymnax's spaces: MultiDiscrete, MultiBinary, flattening, a short description."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from rlseq.errors import InputError
from rlseq.fields import INT32
from rlseq.types import PyTree

MOST_VALUES = 2**16  # ours: of a whole number that is chosen, a logit each


class MultiDiscrete(spaces.Space):
    """Several choices side by side: int32 [len(nvec)], entry i in 0 .. nvec[i] - 1.

    Raises InputError when `nvec` is empty or has an entry below 1 or above 2**31 - 1.
    """

    def __init__(self, nvec: Sequence[int]):
        self.nvec = tuple(int(n) for n in nvec)
        if not self.nvec or min(self.nvec) < 1:
            raise InputError(f"nvec needs entries of at least 1, got {tuple(nvec)}")
        check_choices(max(self.nvec))
        self.shape = (len(self.nvec),)
        self.dtype = jnp.dtype(jnp.int32)

    def __repr__(self) -> str:
        n = len(self.nvec)
        sizes = range(1, n + 1)
        part = next(k for k in sizes if n % k == 0 and self.nvec == self.nvec[:k] * (n // k))
        inside = ", ".join(map(str, self.nvec[:part]))
        if n > 4 and part < n:
            return f"MultiDiscrete([{inside}] * {n // part})"
        return f"MultiDiscrete({', '.join(map(str, self.nvec))})"

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform over the whole product: int32 [len(nvec)]."""
        return jax.random.randint(key, self.shape, 0, np.asarray(self.nvec, np.int32), self.dtype)

    def contains(self, x: jax.Array) -> jax.Array:
        """bool []: every entry lies in its range."""
        return jnp.all((x >= 0) & (x < np.asarray(self.nvec, np.int32)))


class MultiBinary(spaces.Space):
    """Binary choices side by side: int32 [n], each 0 or 1. Raises InputError when n is below 1."""

    def __init__(self, n: int):
        if n < 1:
            raise InputError(f"MultiBinary needs at least 1 entry, got {n}")
        self.n = n
        self.shape = (n,)
        self.dtype = jnp.dtype(jnp.int32)

    def __repr__(self) -> str:
        return f"MultiBinary({self.n})"

    def sample(self, key: jax.Array) -> jax.Array:
        """Uniform: int32 [n]."""
        return jax.random.bernoulli(key, 0.5, self.shape).astype(self.dtype)

    def contains(self, x: jax.Array) -> jax.Array:
        """bool []: every entry is 0 or 1."""
        return jnp.all((x == 0) | (x == 1))


def clipped(space: spaces.Space, choices: jax.Array) -> jax.Array:
    """Choices of any whole dtype within Discrete, MultiDiscrete or MultiBinary: int32."""
    if choices.dtype.itemsize < 4:
        choices = choices.astype(jnp.int32)
    match space:
        case MultiDiscrete():
            most = np.asarray(space.nvec) - 1
        case MultiBinary():
            most = np.asarray(1)
        case spaces.Discrete():
            most = np.asarray(space.n - 1)
        case _:
            raise TypeError(f"{space} holds no choices")
    most = np.broadcast_to(most, choices.shape).astype(choices.dtype)
    return jnp.clip(choices, jnp.zeros_like(most), most).astype(jnp.int32)


def choices_of(space: Any) -> list[int] | None:
    """How many values each entry of a Box of whole numbers has, ravelled; the Box may be
    gymnasium's. None for other spaces, and where bounds are infinite or far apart.
    """
    if not hasattr(space, "low") or not np.issubdtype(space.dtype, np.integer):
        return None
    low, high = (
        np.broadcast_to(np.asarray(b), space.shape).ravel() for b in (space.low, space.high)
    )
    if not (np.isfinite(low) & np.isfinite(high)).all():
        return None
    values = [int(b) - int(a) + 1 for a, b in zip(low, high, strict=True)]
    return values if values and max(values) <= MOST_VALUES else None


def check_choices(n: int) -> None:
    """Raise InputError for more choices than an int32 can count."""
    if n > INT32:
        raise InputError(
            f"a space has {n:,} choices: at most {INT32:,} fit the int32 that holds one"
        )


def check_space(space: spaces.Space) -> None:
    """Raise InputError for a space with a Discrete part of more choices than an int32 holds."""
    map_space(lambda part: check_choices(part.n if isinstance(part, spaces.Discrete) else 1), space)


def flat_size(space: spaces.Space) -> int:
    """The length of a flattened element. Raises InputError for any other space."""
    match space:
        case spaces.Discrete():
            return space.n
        case MultiDiscrete():
            return sum(space.nvec)
        case MultiBinary():
            return space.n
        case spaces.Box():
            return math.prod(space.shape)
        case spaces.Tuple() | spaces.Dict():
            return sum(flat_size(part) for _, part in _parts(space))
    raise InputError(f"cannot flatten the space {space!r}")


def flatten(space: spaces.Space, x: PyTree) -> jax.Array:
    """Elements of a space with any leading axes as float32 [..., flat_size(space)].

    Discrete becomes one-hot, MultiDiscrete its one-hots side by side, Box and MultiBinary are
    ravelled, Tuple and Dict put their parts side by side in order. A choice out of its range
    becomes zeros, and float32 rounds whole numbers beyond 2**24. Raises InputError for a space of
    any other space.
    """
    match space:
        case spaces.Discrete():
            return jax.nn.one_hot(x, space.n, dtype=jnp.float32)
        case MultiDiscrete():
            # One comparison, however many entries: a board may have hundreds.
            entry = np.repeat(np.arange(len(space.nvec)), space.nvec)
            value = np.concatenate([np.arange(n, dtype=np.int32) for n in space.nvec])
            value = value.reshape(*[1] * (x.ndim - 1), -1)
            return (x[..., entry] == value).astype(jnp.float32)
        case spaces.Box() | MultiBinary():
            x = jnp.asarray(x)
            lead = x.shape[: x.ndim - len(space.shape)]
            return x.astype(jnp.float32).reshape(*lead, flat_size(space))
        case spaces.Tuple() | spaces.Dict():
            parts = [flatten(part, x[index]) for index, part in _parts(space)]
            return jnp.concatenate(parts, axis=-1)
    raise InputError(f"cannot flatten the space {space!r}")


def map_space(function: Callable[[spaces.Space], Any], space: spaces.Space) -> Any:
    """Tuple and Dict with their parts replaced by function(part); any other space is one part."""
    match space:
        case spaces.Tuple():
            return spaces.Tuple(tuple(map_space(function, part) for part in space.spaces))
        case spaces.Dict():
            return spaces.Dict({k: map_space(function, part) for k, part in _parts(space)})
    return function(space)


def map_parts(function: Callable[..., Any], space: spaces.Space, *trees: PyTree) -> PyTree:
    """function(part, its elements) for every part of a space and of trees of its structure."""
    if not isinstance(space, spaces.Tuple | spaces.Dict):
        return function(space, *trees)
    found = {k: map_parts(function, part, *(t[k] for t in trees)) for k, part in _parts(space)}
    return found if isinstance(space, spaces.Dict) else tuple(found.values())


def as_declared(space: spaces.Space, x: PyTree) -> PyTree:
    """Elements in the dtypes of a space, integers and floats kept apart: int64 becomes int32."""

    def cast(part: Any, leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        same = any(
            jnp.issubdtype(leaf.dtype, number) and jnp.issubdtype(part.dtype, number)
            for number in (jnp.integer, jnp.floating)
        )
        return leaf.astype(part.dtype) if same else leaf

    return map_parts(cast, space, x)


def describe(space: spaces.Space) -> str:
    """A short text: `Discrete(4)`, `Box(2,)`, `Tuple(Discrete(2), Discrete(4))`."""
    match space:
        case spaces.Discrete():
            return f"Discrete({space.n})"
        case spaces.Box():
            return f"Box({', '.join(map(str, space.shape))}{',' * (len(space.shape) == 1)})"
        case spaces.Tuple():
            return f"Tuple({', '.join(describe(part) for part in space.spaces)})"
        case spaces.Dict():
            inside = ", ".join(f"{key}: {describe(part)}" for key, part in space.spaces.items())
            return f"Dict({inside})"
    return repr(space)


def _parts(space: spaces.Tuple | spaces.Dict) -> list[tuple[Any, spaces.Space]]:
    if isinstance(space, spaces.Dict):
        return list(space.spaces.items())
    return list(enumerate(space.spaces))
