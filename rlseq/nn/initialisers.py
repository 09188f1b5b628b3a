"""Initialisers that are safe under vmap."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


@jax.custom_batching.sequential_vmap
def _qr(x: Array) -> tuple[Array, Array]:
    # One matrix at a time also under vmap: XLA's batched QR can wait for itself on two CPU threads.
    q, r = jnp.linalg.qr(x)
    return q, r


def orthogonal(scale: float = 1.0) -> Callable[..., Array]:
    """Matrices [n, m] with orthogonal rows or columns times `scale` (Saxe et al. 1312.6120)."""

    def initialise(key: Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> Array:
        rows, columns = shape
        tall = (max(rows, columns), min(rows, columns))
        q, r = _qr(jax.random.normal(key, tall, dtype))
        q = q * jnp.sign(jnp.diagonal(r))[None]  # makes the draw uniform
        return scale * (q if rows >= columns else q.T)

    return initialise


def sparse(sparsity: float) -> Callable[..., Array]:
    """Matrices [n, m] with a share `sparsity` of zeros in each column, but for at least one entry.

    The others are uniform within +-1 / sqrt(n) (Elsayed et al. 2410.14606, algorithm 2).
    """

    def initialise(key: Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> Array:
        rows = shape[0]
        value_key, order_key = jax.random.split(key)
        bound = rows**-0.5
        values = jax.random.uniform(value_key, shape, dtype, -bound, bound)
        zeros = min(math.ceil(sparsity * rows), rows - 1)
        place = jnp.argsort(jax.random.uniform(order_key, shape), axis=0)
        return jnp.where(place < zeros, 0, values)

    return initialise


def fan_average() -> Callable[..., Array]:
    """Truncated normals of variance 2 / (inputs + outputs), as in DreamerV3 (2301.04104)."""
    return nn.initializers.variance_scaling(1.0, "fan_avg", "truncated_normal")
