"""Running mean and variance, merged batch by batch (Chan, Golub and LeVeque 1979)."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array


class RunningMoments(NamedTuple):
    """Statistics of all values seen so far."""

    count: Array  # [] float32
    mean: Array  # [D]
    squares: Array  # [D], sum of squared distances from the mean


def init_moments(width: int) -> RunningMoments:
    """Statistics of nothing, for vectors [width]."""
    zero = jnp.zeros(width, jnp.float32)
    return RunningMoments(jnp.float32(0), zero, zero)


def update_moments(moments: RunningMoments, x: Array, mask: Array | None = None) -> RunningMoments:
    """Merge a batch x [..., D]: its vectors where mask [...] is True, all without a mask."""
    x = x.reshape(-1, x.shape[-1])
    if mask is None:
        n = jnp.asarray(x.shape[0], jnp.float32)
        mean = x.mean(0)
        squares = ((x - mean[None]) ** 2).sum(0)
    else:
        mask = mask.reshape(-1, 1)
        n = mask.sum().astype(jnp.float32)
        mean = jnp.where(mask, x, 0).sum(0) / jnp.maximum(n, 1)
        squares = jnp.where(mask, (x - mean[None]) ** 2, 0).sum(0)
    total = jnp.maximum(moments.count + n, 1)
    delta = mean - moments.mean
    cross = delta**2 * (moments.count * n / total)
    return RunningMoments(
        moments.count + n, moments.mean + delta * (n / total), moments.squares + squares + cross
    )


def normalise(moments: RunningMoments, x: Array, limit: float = 10.0) -> Array:
    """x [..., D] with mean 0 and variance 1, clipped to +-limit; unchanged before any data."""
    seen = moments.count > 0
    variance = jnp.where(seen, moments.squares / jnp.maximum(moments.count, 1), 1)
    scale = 1 / jnp.sqrt(variance + 1e-8)
    mean, scale = jnp.broadcast_to(moments.mean, x.shape), jnp.broadcast_to(scale, x.shape)
    return jnp.clip((x - mean) * scale, -limit, limit)
