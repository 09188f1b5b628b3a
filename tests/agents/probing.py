"""What a trained agent earns on a probe, and the values of its first observations."""

import jax
import jax.numpy as jnp

from rlseq.agents.acting import Actor
from rlseq.agents.rollout import collect


def mean_return(agent, state, steps: int = 64) -> jax.Array:
    """Of greedy episodes that end within `steps` steps."""

    def policy(carry, obs, reset):
        carry, distribution, value = agent.policy(state.params, carry, obs, reset)
        mode = distribution.mode()
        return carry, distribution._replace(**_certain(distribution, mode)), value

    env_state, timestep = agent.env.reset(jax.random.key(1))
    actor = Actor(env_state, timestep, agent.init_carry(agent.env.num_envs), jax.random.key(2))
    _, _, episodes = collect(agent.env, policy, actor, steps)
    return episodes.total_return / episodes.count


def _certain(distribution, mode) -> dict:
    """The fields of a distribution that always draws its mode."""
    name = type(distribution).__name__
    if name == "DiagonalGaussian":
        return {"log_std": jnp.full_like(distribution.log_std, -20)}
    if name == "EpsilonGreedy":
        return {"epsilon": jnp.zeros(())}
    if name == "Categorical":
        return {"logits": 1e6 * jax.nn.one_hot(mode, distribution.logits.shape[-1])}
    if name == "Bernoulli":
        return {"logits": 1e6 * (2 * mode.astype(jnp.float32) - 1)}
    parts = [p._replace(**_certain(p, mode[..., i])) for i, p in enumerate(distribution.parts)]
    return {"parts": tuple(parts)}


def first_values(env, agent, state) -> jax.Array:
    """Of every first observation there is."""
    first = jnp.asarray(env.env.first_obs)
    carry = agent.init_carry(len(first))
    return agent.policy(state.params, carry, first, jnp.ones(len(first), bool))[2]
