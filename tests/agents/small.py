"""The smallest agents that still show what PPO does, made once: compiling is what takes long."""

from functools import cache, partial

import jax

import rlseq
from rlseq.agents.rollout import collect
from rlseq.laws.trees import arrays, close, differ, same

__all__ = ["arrays", "close", "differ", "same"]  # from the laws, for tests beside theirs
KEY = jax.random.key(0)
SETTINGS = {"num_steps": 4, "epochs": 2, "minibatches": 2, "encoder": 8, "head": 8}


@cache
def make(env_id="probe:Recall", num_envs=4, num_updates=4, core="mlp", max_steps=None, **changes):
    """A tiny PPO on a probe; `changes` are hyper-parameters."""
    options = {} if max_steps is None else {"max_steps": max_steps}
    env = rlseq.make_env(env_id, num_envs, **options)
    memory = {"name": core, "features": 8, "layers": 1}
    settings = SETTINGS | changes
    return rlseq.make_agent("ppo", env, core=memory, num_updates=num_updates, **settings)


@cache
def fresh(agent):
    """The agent's first state."""
    return agent.init(KEY)


def recurrent():
    """The agent of tests that need memory and normalised observations."""
    return make(core="gru", normalize_observations=True)


def rollout(agent, state):
    """The trajectory of one rollout with the state's own parameters."""
    return _compiled(agent)["rollout"](state)


def batch_of(agent, state):
    """A rollout as the loss sees it."""
    return _compiled(agent)["batch"](state)


def replay(agent, network, carry, obs, reset):
    """(carry, distribution, values) of whole sequences."""
    return _compiled(agent)["replay"](network, carry, obs, reset)


@cache
def _compiled(agent):
    def play(state):
        policy = partial(agent.policy, state.params)
        return collect(agent.env, policy, state.actor, agent.config.num_steps)[1]

    def batch(state):
        return agent.minibatches(state.params.moments, play(state), state.actor.carry)

    functions = {"rollout": play, "batch": batch, "replay": agent.network.apply}
    return {name: jax.jit(function) for name, function in functions.items()}
