"""One step of an agent in its environments, for everything that acts with a policy.

Rollouts, the replay, evaluation, recording and videos all come here, so that keys, clipping and the
memory of an agent are the same in each.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.agents.types import AgentWithReward
from rlseq.types import Agent, Carry, PyTree, TimeStep, VecEnv

# (carry, obs [E, ...], reset [E], key) -> (carry, action [E, ...])
Act = Callable[[Carry, PyTree, Array, Array], tuple[Carry, PyTree]]
# The same, with anything else that is known of the choice.
Choose = Callable[[Carry, PyTree, Array, Array], tuple[Carry, PyTree, Any]]
# (carry, reward [E]) -> carry
Rewarded = Callable[[Carry, Array], Carry]


class Actor(NamedTuple):
    """What moves through a rollout."""

    env_state: Any
    timestep: TimeStep
    carry: Carry
    key: Array


def start_actor(env: VecEnv, carry: Carry, env_key: Array, act_key: Array) -> Actor:
    """At the first step of fresh episodes; `carry` is a fresh one of every environment."""
    env_state, timestep = env.reset(env_key)
    return Actor(env_state, timestep, carry, act_key)


def mark_batched(state: Any, *fields: str) -> Any:
    """The structure of a state with bools: True where a leaf's first axis is the environments.

    These are its `actor`, but for the key, and the fields of these names.
    """
    marks = jax.tree.map(lambda _: False, state)
    names = (*fields, "actor")
    batched = {name: jax.tree.map(lambda _: True, getattr(state, name)) for name in names}
    batched["actor"] = batched["actor"]._replace(key=False)
    return marks._replace(**batched)


def step_once(
    env: VecEnv, choose: Choose, actor: Actor, rewarded: Rewarded | None = None
) -> tuple[Actor, PyTree, Any]:
    """(the actor after one step of every environment, its actions, what else `choose` says).

    Continuous actions reach the environment clipped to its space and are returned as chosen.
    """
    key, act_key, env_key = jax.random.split(actor.key, 3)
    ts = actor.timestep
    carry, action, more = choose(actor.carry, ts.obs, ts.reset, act_key)
    env_state, timestep = env.step(actor.env_state, to_env(env, action), env_key)
    if rewarded is not None:
        carry = rewarded(carry, timestep.reward)
    return Actor(env_state, timestep, carry, key), action, more


def act_once(
    env: VecEnv, act: Act, actor: Actor, rewarded: Rewarded | None = None
) -> tuple[Actor, PyTree]:
    """`step_once` with what only says actions, such as `rlseq.types.Agent.act`."""
    actor, action, _ = step_once(env, lambda *seen: (*act(*seen), None), actor, rewarded)
    return actor, action


def rewarded_of(agent: Agent) -> Rewarded | None:
    """What an agent does with a reward, if anything."""
    return agent.rewarded if isinstance(agent, AgentWithReward) else None


def to_env(env: VecEnv, action: PyTree) -> PyTree:
    """Clip continuous actions to their space; the policy's own samples stay unclipped."""
    if not jnp.issubdtype(action.dtype, jnp.floating):
        return action
    space = env.spec.action_space
    low, high = (
        jnp.broadcast_to(jnp.asarray(b, action.dtype), action.shape)
        for b in (space.low, space.high)
    )
    return jnp.clip(action, low, high)
