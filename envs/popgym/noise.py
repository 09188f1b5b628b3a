"""Noise on the observations of the noisy control tasks (popgym 1.0.7)."""

import math

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box

from rlseq.errors import InputError


def checked_sigma(noise_sigma: float) -> float:
    """The standard deviation as given. Raises InputError unless it is finite and at least 0."""
    if not 0 <= noise_sigma < math.inf:
        raise InputError(f"noise_sigma must be a number from 0, got {noise_sigma}")
    return noise_sigma


def noisy(key: jax.Array, obs: jax.Array, noise_sigma: float, inside: Box) -> jax.Array:
    """obs float32 [D] with Gaussian noise on each entry, clipped to the bounds of `inside`."""
    noise = noise_sigma * jax.random.normal(key, obs.shape, jnp.float32)
    return jnp.clip(obs + noise, inside.low, inside.high)


def unbounded(like: Box) -> Box:
    """The space of observations whose noise is not clipped."""
    return Box(-jnp.inf, jnp.inf, like.shape, like.dtype)
