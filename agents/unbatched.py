"""A value that all members of a vmap share stays one value under it."""

import jax
from jax import Array


@jax.custom_batching.custom_vmap
def unbatched(x: Array) -> Array:
    """x, which must be the same for all members: a `lax.cond` on it then computes one side only."""
    return x


@unbatched.def_vmap
def _unbatched(members: int, batched: list[bool], x: Array) -> tuple[Array, bool]:
    return (unbatched(x[0]) if batched[0] else x), False
