"""One step of an agent in its environments, for everything that plays with a policy."""

from collections.abc import Callable

import jax
from jax import Array

from rlseq.agents.rollout import Actor
from rlseq.types import Carry, PyTree, VecEnv

# (carry, obs [E, ...], reset [E], key) -> (carry, action [E, ...])
Act = Callable[[Carry, PyTree, Array, Array], tuple[Carry, PyTree]]


def act_once(env: VecEnv, act: Act, actor: Actor) -> tuple[Actor, PyTree]:
    """(the actor after one step of every environment, the actions of that step)."""
    key, act_key, env_key = jax.random.split(actor.key, 3)
    ts = actor.timestep
    carry, action = act(actor.carry, ts.obs, ts.reset, act_key)
    env_state, timestep = env.step(actor.env_state, action, env_key)
    return Actor(env_state, timestep, carry, key), action
