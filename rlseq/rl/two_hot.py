"""Symlog two-hot regression: a number as a distribution over bins (DreamerV3, 2301.04104, 5).

The bins are uniform in symlog space on [-limit, limit]. Pure functions over leading axes.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

BINS = 255  # DreamerV3 and Drama (Wang et al. 2410.08893)
LIMIT = 20.0  # both; symexp(20) = 4.9e8


def symlog(x: Array) -> Array:
    """sign(x) log(1 + |x|)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: Array) -> Array:
    """sign(x) (e^|x| - 1), the inverse of symlog."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def two_hot(x: Array, bins: int = BINS, limit: float = LIMIT) -> Array:
    """x [...] -> weights [..., bins] of the two bins around symlog(x), nearer ones weigh more.

    The weights sum to 1 and their mean over the bins is symlog(x), cut at +-limit.
    """
    place = (jnp.clip(symlog(x), -limit, limit) + limit) * ((bins - 1) / (2 * limit))
    number = lax.broadcasted_iota(place.dtype, (*place.shape, bins), place.ndim)
    return jnp.maximum(1 - jnp.abs(place[..., None] - number), 0)


def two_hot_mean(logits: Array, limit: float = LIMIT) -> Array:
    """logits [..., bins] -> the number they stand for [...]: symexp of the expected bin."""
    half = (logits.shape[-1] - 1) / 2
    number = lax.broadcasted_iota(logits.dtype, logits.shape, logits.ndim - 1) - half
    weighed = jax.nn.softmax(logits) * number
    # Each bin with its mirror image first: symmetric logits then give exactly 0.
    expected = (weighed + jnp.flip(weighed, -1)).sum(-1) * (limit / (2 * half))
    return symexp(expected)


def two_hot_loss(logits: Array, x: Array, limit: float = LIMIT) -> Array:
    """Cross entropy [...] between `two_hot(x)` and logits [..., bins]."""
    target = two_hot(x, logits.shape[-1], limit)
    return -(target * jax.nn.log_softmax(logits)).sum(-1)
