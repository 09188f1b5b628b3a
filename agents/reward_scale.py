"""Rewards in units of the spread of their discounted sums."""

import jax.numpy as jnp
from jax import Array, lax

from rlseq.nn.normalisers import RunningMoments, update_moments
from rlseq.types import TimeStep

LEAST = 1e-8  # a smaller variance is none: rewards then stay as they are


def reward_scale(
    moments: RunningMoments, discounted: Array, new: TimeStep, *, gamma: float
) -> tuple[RunningMoments, Array, Array]:
    """(moments, sums [E] for the next step, float32 []: what rewards are multiplied with).

    One over the running deviation of u[t] = r[t] + gamma u[t-1], which begins anew with each
    episode (Engstrom et al. 2005.12729; Elsayed et al. 2410.14606, algorithm 5). `discounted` is
    u[t-1], float32 [E], and `moments` those of all u before.
    """
    discounted = gamma * discounted + new.reward
    moments = update_moments(moments, discounted[:, None], new.valid)
    variance = (moments.squares / jnp.maximum(moments.count, 1))[0]
    scale = jnp.where(variance > LEAST, lax.rsqrt(jnp.maximum(variance, LEAST)), 1)
    done = new.terminated | new.truncated
    return moments, jnp.where(done, 0, discounted), scale
