"""Losses of policy-gradient agents: pure functions of arrays of one shape."""

import jax.numpy as jnp
from jax import Array


def clipped_policy_loss(log_ratio: Array, advantage: Array, clip: float | Array) -> Array:
    """PPO's clipped surrogate (Schulman et al. 1707.06347, equation 7), to be minimised."""
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1 - clip, 1 + clip)
    return -jnp.minimum(ratio * advantage, clipped * advantage).mean()


def value_loss(value: Array, target: Array) -> Array:
    """Half the mean squared error."""
    return 0.5 * jnp.square(value - target).mean()


def clipped_value_loss(value: Array, old: Array, target: Array, clip: float | Array) -> Array:
    """The larger of the plain and the clipped error (PPO's reference implementation)."""
    near = old + jnp.clip(value - old, -clip, clip)
    return 0.5 * jnp.maximum(jnp.square(value - target), jnp.square(near - target)).mean()


def approximate_kl(log_ratio: Array) -> Array:
    """KL(old, new) from samples of old: mean of r - 1 - log r, never negative (Schulman 2020)."""
    return (jnp.expm1(log_ratio) - log_ratio).mean()


def standardise(x: Array) -> Array:
    """Mean 0 and standard deviation 1 over all entries."""
    return (x - x.mean()) / (x.std() + 1e-8)
