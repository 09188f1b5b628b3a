"""Random maps of observations and actions that keep all information."""

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box, Discrete

from rlseq.envs.spaces import flat_size


def rotation(key: jax.Array, rows: int, columns: int) -> jax.Array:
    """Uniform among float32 [rows, columns] that are orthonormal along the shorter side."""
    return jax.random.orthogonal(key, max(rows, columns), dtype=jnp.float32)[:rows, :columns]


def action_map(key: jax.Array, space: Box | Discrete, size: int) -> jax.Array:
    """How `size` numbers or choices of an agent become actions of a task.

    For Discrete(n) int32 [size], each of the n at least size // n times; for a Box a matrix
    float32 [size, task's numbers].
    """
    if isinstance(space, Discrete):
        return jax.random.permutation(key, jnp.arange(size, dtype=jnp.int32) % space.n)
    return rotation(key, size, flat_size(space))


def mapped(space: Box | Discrete, chosen: jax.Array, action: jax.Array) -> jax.Array:
    """The task's action for an agent's: looked up, or times the matrix and cut to the bounds."""
    if isinstance(space, Discrete):
        return chosen[action]
    bounds = (jnp.asarray(b, jnp.float32) for b in (space.low, space.high))
    low, high = (jnp.broadcast_to(b, space.shape) for b in bounds)
    unit = (action @ chosen).reshape(space.shape)
    return low + (jnp.clip(unit, -1, 1) + 1) / 2 * (high - low)
