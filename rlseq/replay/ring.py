"""A ring of rows on the device: any pytree, one row a step of each of E environments.

Pure functions of `rlseq.types.Ring`. Row number n of an environment lies at index n % L. A flat
index, of the flattened [E, L], names a row of one environment.
"""

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.types import PyTree, Ring


def init_ring(like: PyTree, length: int) -> Ring:
    """An empty ring of `length` rows an environment; `like` has leaves [E, ...]."""
    rows = jax.tree.map(lambda x: jnp.zeros((x.shape[0], length, *x.shape[1:]), x.dtype), like)
    return Ring(rows, jnp.zeros(jax.tree.leaves(like)[0].shape[0], jnp.int32))


def ring_length(ring: Ring) -> int:
    """L, the rows that the ring holds of each environment."""
    return jax.tree.leaves(ring.rows)[0].shape[1]


def next_index(ring: Ring, mask: Array | None = None) -> Array:
    """int32 [E]: where the next row of each environment goes; L, which is nowhere, off the mask."""
    length = ring_length(ring)
    index = ring.written % length
    return index if mask is None else jnp.where(mask, index, length)


def write_at(table: Array, index: Array, value: Array | int) -> Array:
    """A table [E, L, ...] with `value` [E, ...] at `index` int32 [E] of each environment.

    Beyond L nothing is written.
    """
    env = jnp.arange(table.shape[0], dtype=jnp.int32)
    return table.at[env, index].set(value, mode="drop")


def append(ring: Ring, row: PyTree, mask: Array | None = None) -> Ring:
    """Write a row, leaves [E, ...], over the oldest, where `mask` bool [E] (default: everywhere).

    Rows off the mask are not even read.
    """
    index = next_index(ring, mask)
    rows = jax.tree.map(lambda table, new: write_at(table, index, new), ring.rows, row)
    return Ring(rows, ring.written + (1 if mask is None else mask.astype(jnp.int32)))


def allowed_starts(ring: Ring, length: int) -> Array:
    """bool [E, L]: a sequence of `length` rows from here is written, and older than the newest."""
    size = ring_length(ring)
    held = jnp.minimum(ring.written, size)
    oldest = (ring.written - held) % size
    index = jnp.arange(size, dtype=jnp.int32)
    age = (index[None] - oldest[:, None]) % size
    return age + length <= held[:, None]


def sequences(ring: Ring, starts: Array, length: int) -> PyTree:
    """Rows [length, B, ...] from the flat indices int32 [B] on."""
    size = ring_length(ring)
    env, first = starts // size, starts % size
    step = jnp.arange(length, dtype=jnp.int32)
    index = (first[None] + step[:, None]) % size
    env = jnp.broadcast_to(env[None], index.shape)
    return jax.tree.map(lambda rows: rows[env, index], ring.rows)
