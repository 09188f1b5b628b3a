"""PPO catches the ball from pixels; where it goes out of sight, with memory and not without."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.train.evaluate import evaluate

OPTIMISE = True  # see tests/conftest.py

SETTINGS = {
    "num_steps": 28,  # four episodes
    "epochs": 4,
    "minibatches": 4,
    "lr": 2e-3,
    "gamma": 0.9,
    "encoder": 64,
    "head": 32,
}


def train(probe, core, kind, updates):
    """(environment, agent, its parameters) after training."""
    env = rlseq.make_env(f"probe:{probe}", 32)
    memory = {"name": core, "features": 32, "layers": 1}
    settings = SETTINGS | {"encoder_kind": kind, "num_updates": updates}
    agent = rlseq.make_agent("ppo", env, core=memory, **settings)
    state, _ = agent.train(agent.init(jax.random.key(0)), updates)
    return env, agent, state.params


def mean_return(env, agent, params):
    """Of two greedy episodes a slot."""
    many = jax.tree.map(lambda x: x[None], params)
    keys = jax.random.split(jax.random.key(1), 1)
    return evaluate(agent, many, env, keys, 2, greedy=True).returns.mean()


def solves(env, agent, params):
    first = jnp.asarray(env.env.first_obs)
    reset = jnp.ones(len(first), bool)
    value = agent.policy(params, agent.init_carry(len(first)), first, reset)[2]
    exact = env.env.value(SETTINGS["gamma"])
    assert mean_return(env, agent, params) > 0.9 * env.env.optimal_return
    assert (np.abs(value - exact) < 0.1).all()


@pytest.mark.slow  # half a minute of two cores
def test_a_recurrent_agent_catches_the_ball_that_it_no_longer_sees():
    solves(*train("CatchBlind", "gru", "patch", 80))


@pytest.mark.slow
def test_without_memory_it_catches_no_more_than_the_memoryless_can():
    env, agent, params = train("CatchBlind", "mlp", "patch", 60)
    assert mean_return(env, agent, params) < env.env.memoryless_return + 0.3
