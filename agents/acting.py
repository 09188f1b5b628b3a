"""One step of an agent in its environments, for everything that plays with a policy."""

from collections.abc import Callable

import jax
from jax import Array

from rlseq.agents.rollout import Actor
from rlseq.agents.types import AgentWithReward
from rlseq.types import Agent, Carry, PyTree, VecEnv

# (carry, obs [E, ...], reset [E], key) -> (carry, action [E, ...])
Act = Callable[[Carry, PyTree, Array, Array], tuple[Carry, PyTree]]
# (carry, reward [E]) -> carry
Rewarded = Callable[[Carry, Array], Carry]


def rewarded_of(agent: Agent) -> Rewarded | None:
    """What an agent does with a reward, if anything."""
    return agent.rewarded if isinstance(agent, AgentWithReward) else None


def act_once(
    env: VecEnv, act: Act, actor: Actor, rewarded: Rewarded | None = None
) -> tuple[Actor, PyTree]:
    """(the actor after one step of every environment, the actions of that step)."""
    key, act_key, env_key = jax.random.split(actor.key, 3)
    ts = actor.timestep
    carry, action = act(actor.carry, ts.obs, ts.reset, act_key)
    env_state, timestep = env.step(actor.env_state, action, env_key)
    if rewarded is not None:
        carry = rewarded(carry, timestep.reward)
    return Actor(env_state, timestep, carry, key), action
