"""Keeps what is not finite inside the episode it came from, for scans that multiply whole chunks.

A matmul over a chunk multiplies every row with every other, also with weight 0, and 0 * NaN is NaN,
in values and in gradients. So faults are taken out before the scan and put back behind it, from
the step they enter to the end of their episode.
"""

import jax.numpy as jnp
from jax import Array, lax


def contain(inputs: tuple[Array, ...], carry: Array, reset: Array) -> tuple[tuple, Array, Array]:
    """The inputs [T R, B, ...] and the carry [B, ...] with 0 for what is not finite.

    Returns them and, as bool [T, B], the steps that a fault reaches: those from a faulty step, or
    from a faulty carry, to the next reset [T, B].
    """
    length, batch = reset.shape
    sound = jnp.ones_like(reset)
    for x in inputs:
        sound &= jnp.isfinite(x).reshape(length, -1, batch, x[0, 0].size).all((1, 3))
    at = jnp.arange(length)[:, None]
    # Behind a barrier: XLA would work out, for seconds, that a fresh memory of zeros is finite.
    whole = jnp.isfinite(lax.optimization_barrier(carry)).all(tuple(range(1, carry.ndim)))
    start = lax.cummax(jnp.where(reset, at, -1))
    fault = lax.cummax(jnp.maximum(jnp.where(sound, -2, at), jnp.where(whole, -2, -1)[None]))
    return tuple(_finite(x) for x in inputs), _finite(carry), fault >= start


def mark(carry: Array, y: Array, reached: Array) -> tuple[Array, Array]:
    """Put NaN back: into the steps reached of y [T R, B, ...], and the carry after the last."""
    rows = jnp.repeat(reached, y.shape[0] // reached.shape[0], axis=0)
    return _nan_where(reached[-1], carry), _nan_where(rows, y)


def _finite(x: Array) -> Array:
    return jnp.where(jnp.isfinite(x), x, 0)


def _nan_where(reached: Array, x: Array) -> Array:
    wide = jnp.expand_dims(reached, tuple(range(reached.ndim, x.ndim)))
    return jnp.where(wide, jnp.asarray(jnp.nan, x.dtype), x)
