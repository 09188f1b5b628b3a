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


def compiled_quickly(function, *args):
    """jitted for these arguments; short rollouts are cheaper to run than to optimise."""
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(function).lower(*args).compile(compiler_options=options)


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

    key = jax.random.key(seed)
    first, (actions, steps, states, keys) = compiled_quickly(run, key)(key)
    return Rollout(*jax.tree.map(np.asarray, (first, actions, steps, states)), keys)


@pytest.fixture(name="compiled_quickly")
def _compiled_quickly():
    return compiled_quickly


@pytest.fixture(name="roll")
def _roll():
    return roll
