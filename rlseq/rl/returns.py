"""Returns and advantages over [T, E] trajectories."""

import jax.numpy as jnp
from jax import Array, lax


def gae(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    done: Array,
    *,
    gamma: float | Array,
    lam: float | Array,
) -> Array:
    """Generalised advantage estimates (Schulman et al. 1506.02438, equation 16), all [T, E].

    `next_value[t]` is the value of the true successor: V(final observation) where an episode was
    cut at t, else V(obs[t+1]). Bootstrapping stops where `terminated`, the sum where `done`
    (terminated or truncated).
    """
    delta = reward + gamma * jnp.where(terminated, 0, next_value) - value

    def body(advantage, inputs):
        delta_t, done_t = inputs
        advantage = delta_t + gamma * lam * jnp.where(done_t, 0, advantage)
        return advantage, advantage

    return lax.scan(body, jnp.zeros_like(delta[0]), (delta, done), reverse=True)[1]
