"""Noise on the observations of the noisy control tasks (popgym 1.0.7)."""

from typing import Annotated

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box

from rlseq.fields import Range

Sigma = Annotated[float, Range(0, 1e6)]  # a standard deviation


def noisy(key: jax.Array, obs: jax.Array, noise_sigma: float, inside: Box) -> jax.Array:
    """obs float32 [D] with Gaussian noise on each entry, clipped to the bounds of `inside`."""
    noise = noise_sigma * jax.random.normal(key, obs.shape, jnp.float32)
    return jnp.clip(obs + noise, inside.low, inside.high)


def unbounded(like: Box) -> Box:
    """The space of observations whose noise is not clipped."""
    return Box(-jnp.inf, jnp.inf, like.shape, like.dtype)
