"""Branches that compute one side only, also under `vmap`, where `lax.cond` computes both."""

from collections.abc import Callable

import jax
from jax import Array, lax

from rlseq.rl import devices
from rlseq.types import PyTree


@jax.custom_batching.custom_vmap
def unbatched(x: Array) -> Array:
    """x, which must be the same for all members: a `lax.cond` on it then computes one side only."""
    return x


@unbatched.def_vmap
def _unbatched(members: int, batched: list[bool], x: Array) -> tuple[Array, bool]:
    return (unbatched(x[0]) if batched[0] else x), False


def where_any(mask: Array, compute: Callable[[], PyTree], otherwise: PyTree) -> PyTree:
    """`compute()`, or `otherwise` at once where the mask is False for every member of a vmap.

    Where a mask, bool [...], is False, both must be the same. Over several devices it is always
    computed: each has its share of the mask, and to ask all of them costs more than it saves.
    """
    if devices.parts() > 1:
        return compute()
    return lax.cond(_anywhere(mask.any()), compute, lambda: otherwise)


@jax.custom_batching.custom_vmap
def _anywhere(x: Array) -> Array:
    """bool [], whether x is True for any member."""
    return x


@_anywhere.def_vmap
def _anywhere_in_all(members: int, batched: list[bool], x: Array) -> tuple[Array, bool]:
    return _anywhere(x.any(0) if batched[0] else x), False
