"""Returns and advantages over [T, E] trajectories."""

import jax.numpy as jnp
from jax import Array, lax


def gae(
    reward: Array,
    value: Array,
    next_value: Array,
    terminated: Array,
    done: Array,
    mask: Array | None = None,
    *,
    gamma: float | Array,
    lam: float | Array,
) -> Array:
    """Generalised advantage estimates (Schulman et al. 1506.02438, equation 16), all [T, E].

    `next_value[t]` is the value of the true successor: V(final observation) where an episode was
    cut at t, else V(obs[t+1]). Bootstrapping stops where `terminated`, the sum where `done`
    (terminated or truncated). Where `mask` is False the advantage is 0, and the sum before it
    bootstraps from `value` there.
    """
    delta = reward + gamma * jnp.where(terminated, 0, next_value) - value

    def body(advantage, inputs):
        delta_t, done_t, mask_t = inputs
        advantage = delta_t + gamma * lam * jnp.where(done_t, 0, advantage)
        if mask_t is not None:
            advantage = jnp.where(mask_t, advantage, 0)
        return advantage, advantage

    return lax.scan(body, jnp.zeros_like(delta[0]), (delta, done, mask), reverse=True)[1]


def lambda_returns(
    reward: Array,
    value: Array,
    alive: Array,
    *,
    gamma: float,
    lam: float,
    own_value: bool = False,
) -> Array:
    """Returns [H, N] of imagined steps (DreamerV3, 2301.04104, equation 8).

    G[t] = r[t] + gamma alive[t] ((1 - lam) V[t+1] + lam G[t+1]), and G[H] = V[H].

    Args:
        reward: [H, N], of the action at step t.
        value: [H + 1, N], of the state at step t.
        alive: [H, N] float32, 0 where the action at step t ended the episode.
        gamma: discount.
        lam: lambda.
        own_value: V[t] in the place of V[t+1], as the code of STORM and Drama has it.
    """
    near = value[:-1] if own_value else value[1:]

    def body(following, inputs):
        r, v, going = inputs
        found = r + gamma * going * ((1 - lam) * v + lam * following)
        return found, found

    return lax.scan(body, value[-1], (reward, near, alive), reverse=True)[1]
