"""Agents and policies outside jit: acting and training again compiles nothing."""

import jax
import pytest

from rlseq.train.policy import Policy
from tests.agents.small import KEY, fresh, make
from tests.compilations import again


@pytest.fixture(scope="module")
def agent():
    return make(core="gru")


def test_an_agent_compiles_once(agent):
    state = fresh(agent)
    params, carry, ts = agent.policy_params(state), agent.init_carry(4), state.actor.timestep
    calls = {
        "init": lambda: agent.init(KEY),
        "train": lambda: agent.train(state, 1),
        "init_carry": lambda: agent.init_carry(4),
        "act": lambda: agent.act(params, carry, ts.obs, ts.reset, KEY),
        "greedy": lambda: agent.act(params, carry, ts.obs, ts.reset, KEY, greedy=True),
    }
    assert not {name: events for name, call in calls.items() if (events := again(call))}


def test_a_policy_compiles_once(agent):
    state = fresh(agent)
    ts = state.actor.timestep
    policy = Policy(agent, agent.policy_params(state), agent.env.spec.obs_space)
    assert not again(lambda: policy(policy.init_carry(4), ts.obs, ts.reset))
    assert not again(lambda: policy(policy.init_carry(4), ts.obs, ts.reset, jax.random.key(1)))
