"""A rollout of any environment with random actions, and episodes of one environment alone."""

from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from rlseq.types import TimeStep, VecEnv


class Rollout(NamedTuple):
    first: TimeStep  # [E, ...]
    actions: Any  # [T, E, ...]
    steps: TimeStep  # [T, E, ...]
    states: Any  # [T, E, ...] after each step
    keys: jax.Array  # [T], the key of each step


def random_actions(venv: VecEnv, key: jax.Array) -> Any:
    return jax.vmap(venv.spec.action_space.sample)(jax.random.split(key, venv.num_envs))


def roll(venv: VecEnv, num_steps: int, seed: int = 0, policy=None) -> Rollout:
    """num_steps of a policy(key, state, time step), random by default, in one jitted scan."""

    def body(carry, key):
        state, ts = carry
        act_key, step_key = jax.random.split(key)
        action = policy(act_key, state, ts) if policy else random_actions(venv, act_key)
        state, ts = venv.step(state, action, step_key)
        return (state, ts), (action, ts, state, step_key)

    def run(key):
        reset_key, key = jax.random.split(key)
        state, first = venv.reset(reset_key)
        keys = jax.random.split(key, num_steps)
        return first, jax.lax.scan(body, (state, first), keys)[1]

    first, (actions, steps, states, keys) = jax.jit(run)(jax.random.key(seed))
    return Rollout(*jax.tree.map(np.asarray, (first, actions, steps, states)), keys)


@pytest.fixture(name="roll")
def _roll():
    return roll
