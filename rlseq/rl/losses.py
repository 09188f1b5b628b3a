"""Losses of policy-gradient agents: pure functions of arrays of one shape.

All are means over the entries where `mask` is True, over all without a mask.
"""

import jax.numpy as jnp
from jax import Array


def masked_mean(x: Array, mask: Array | None = None) -> Array:
    """Mean of x where mask is True; 0 where it never is."""
    if mask is None:
        return x.mean()
    return jnp.where(mask, x, 0).sum() / jnp.maximum(mask.sum(dtype=jnp.int32), 1).astype(x.dtype)


def clipped_policy_loss(
    log_ratio: Array, advantage: Array, clip: float | Array, mask: Array | None = None
) -> Array:
    """PPO's clipped surrogate (Schulman et al. 1707.06347, equation 7), to be minimised."""
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1 - clip, 1 + clip)
    return -masked_mean(jnp.minimum(ratio * advantage, clipped * advantage), mask)


def value_loss(value: Array, target: Array, mask: Array | None = None) -> Array:
    """Half the mean squared error."""
    return 0.5 * masked_mean(jnp.square(value - target), mask)


def clipped_value_loss(
    value: Array, old: Array, target: Array, clip: float | Array, mask: Array | None = None
) -> Array:
    """The larger of the plain and the clipped error (PPO's reference implementation)."""
    near = old + jnp.clip(value - old, -clip, clip)
    worse = jnp.maximum(jnp.square(value - target), jnp.square(near - target))
    return 0.5 * masked_mean(worse, mask)


def approximate_kl(log_ratio: Array, mask: Array | None = None) -> Array:
    """KL(old, new) from samples of old: mean of r - 1 - log r, never negative (Schulman 2020)."""
    return masked_mean(jnp.expm1(log_ratio) - log_ratio, mask)


def standardise(x: Array, mask: Array | None = None) -> Array:
    """Mean 0 and standard deviation 1 over the entries of the mask; the others become 0."""
    if mask is None:
        return (x - x.mean()) / (x.std() + 1e-8)
    centred = jnp.where(mask, x - masked_mean(x, mask), 0)
    return centred / (jnp.sqrt(masked_mean(jnp.square(centred), mask)) + 1e-8)
