"""The agent that learns in imagination solves probes, and imagines the rewards that are paid."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.agents import imagined
from rlseq.replay.ring import sequences
from rlseq.train.evaluate import evaluate

OPTIMISE = True  # see tests/conftest.py

SETTINGS = {
    "num_steps": 2, "warmup": 512, "capacity": 8192, "batch": 16, "length": 16, "starts": "batch",
    "horizon": 6, "actor": 32, "critic": 32, "gamma": 0.9, "lr": 1e-3, "lr_warmup": 10,
    "entropy_coef": 1e-2,
}  # fmt: skip
MODEL = {
    "name": "drama", "preset": "nano", "widths": [32], "latents": 4, "classes": 4, "head": 32,
    "lr": 2e-3, "warmup": 10,
}  # fmt: skip
ENVS = 16
ROUNDS = {"gru": 1500, "mamba2": 4000, "s5": 2500}  # the model learns to remember at last


@cache
def train(probe, core):
    env = rlseq.make_env(f"probe:{probe}", ENVS)
    memory = {"name": core, "features": 32, "layers": 1}
    agent = rlseq.make_agent("imagination", env, core=memory, world_model=MODEL, **SETTINGS)
    state, metrics = agent.train(agent.init(jax.random.key(0)), ROUNDS[core])
    assert metrics["finite"] == 1
    return agent, state


@pytest.mark.slow
@pytest.mark.parametrize("core", ["gru", "mamba2", "s5"])
@pytest.mark.parametrize("probe", ["Recall", "Delayed"])
def test_it_solves(probe, core):
    agent, state = train(probe, core)
    env = rlseq.make_env(f"probe:{probe}", ENVS)
    params = jax.tree.map(lambda x: x[None], agent.policy_params(state))
    played = evaluate(agent, params, env, jax.random.split(jax.random.key(1), 1), 8, greedy=True)
    assert played.returns.mean() > env.env.optimal_return - 0.1


@pytest.mark.slow
def test_imagined_rewards_are_those_that_are_paid():
    agent, state = train("Recall", "gru")
    starts = jnp.arange(0, 400, 2, dtype=jnp.int32)
    rows = sequences(state.replay.ring, starts, 12)
    key = jax.random.key(3)

    @jax.jit
    def rewards(params, rows):
        """Rewards of the last 6 of 12 steps: the context is seen, the actions are those taken."""
        before = jax.tree.map(lambda x: x[:7], rows)
        start = imagined.start_from_contexts(agent.model, params, before, key, after=False)

        def step(at, inputs):
            carry, latent, reset = at
            action, step_key = inputs
            carry, new = agent.model.imagine_step(params, carry, latent, action, reset, step_key)
            return (carry, new.latent, jnp.zeros_like(reset)), new.reward

        inputs = (rows.action[6:], jax.random.split(key, 6))
        return jax.lax.scan(step, (start.carry, start.latent, start.reset), inputs)[1]

    predicted = np.asarray(rewards(state.model.params, rows))
    # What comes after an end in the window is another episode, which no model foresees.
    within = np.cumprod(~np.asarray(rows.reset[7:]), axis=0).astype(bool)
    within = np.concatenate([np.ones((1, len(starts)), bool), within])
    paid = np.asarray(rows.reward[6:])
    assert np.corrcoef(predicted[within], paid[within])[0, 1] > 0.8
