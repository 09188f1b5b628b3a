"""The laws of environments, each of a rollout with random actions; E environments, T steps."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from rlseq.envs.spaces import map_parts
from rlseq.laws import hold
from rlseq.types import PyTree, TimeStep, VecEnv

SLACK = 1e-6  # of a bound, for float32


class Rollout(NamedTuple):
    """What happened, in NumPy."""

    first: TimeStep  # [E, ...]
    actions: Any  # [T, E, ...]
    steps: TimeStep  # [T, E, ...]
    states: Any  # [T, E, ...] after each step
    keys: jax.Array  # [T], the key of each step


def random_actions(venv: VecEnv, key: jax.Array) -> PyTree:
    """One of each environment."""
    return jax.vmap(venv.spec.action_space.sample)(jax.random.split(key, venv.num_envs))


def compiled_quickly(function: Callable, *args: Any) -> jax.stages.Compiled:
    """jitted for these arguments; short rollouts are cheaper to run than to optimise."""
    options: dict[str, Any] = {"xla_backend_optimization_level": 0}
    return jax.jit(function).lower(*args).compile(compiler_options=options)


def roll(
    venv: VecEnv, num_steps: int, seed: int = 0, policy: Callable[..., PyTree] | None = None
) -> Rollout:
    """num_steps of a policy(key, state, time step), random by default, in one jitted scan."""

    def body(carry: tuple, key: jax.Array) -> tuple:
        state, ts = carry
        act_key, step_key = jax.random.split(key)
        action = policy(act_key, state, ts) if policy else random_actions(venv, act_key)
        state, ts = venv.step(state, action, step_key)
        return (state, ts), (action, ts, state, step_key)

    def run(key: jax.Array) -> tuple:
        reset_key, key = jax.random.split(key)
        state, first = venv.reset(reset_key)
        keys = jax.random.split(key, num_steps)
        return first, jax.lax.scan(body, (state, first), keys)[1]

    key = jax.random.key(seed)
    first, (actions, steps, states, keys) = compiled_quickly(run, key)(key)
    first, actions, steps, states = jax.tree.map(np.asarray, (first, actions, steps, states))
    return Rollout(first, actions, steps, states, keys)


def reset_follows_each_end(venv: VecEnv, rollout: Rollout) -> None:
    """An end is followed by a reset, is of one kind, and was seen at all."""
    steps, first = rollout.steps, rollout.first
    ended = steps.terminated | steps.truncated
    hold(ended.any(), f"no episode ended in {len(ended)} steps: spec.max_steps is too small")
    hold((steps.reset == ended).all(), "reset is not True exactly where an episode ended")
    hold(not (steps.terminated & steps.truncated).any(), "a step both terminates and truncates")
    cuts = venv.spec.can_truncate or not steps.truncated.any()
    hold(cuts, "an episode was truncated though can_truncate is False")
    hold(first.reset.all(), "the first time step is no reset")
    hold(not (first.terminated | first.truncated).any(), "the first time step is an end")
    hold((first.reward == 0).all(), "the first time step has a reward")


def episodes_end_within_the_limit(venv: VecEnv, rollout: Rollout) -> None:
    """No episode is longer than `spec.max_steps`."""
    run, limit = np.zeros(venv.num_envs, int), venv.spec.max_steps
    for ended in rollout.steps.reset:
        run += 1
        hold(limit is None or (run <= limit).all(), f"an episode has more than {limit} steps")
        run[ended] = 0


def final_obs_is_obs_where_nothing_ended(
    venv: VecEnv, rollout: Rollout, same: Callable = np.testing.assert_array_equal
) -> None:
    """`final_obs` differs from `obs` at ends alone."""
    going = ~rollout.steps.reset
    pairs = jax.tree.leaves(rollout.steps.obs), jax.tree.leaves(rollout.steps.final_obs)
    for obs, final in zip(*pairs, strict=True):
        same(obs[going], final[going])


def shapes_and_dtypes_of_the_spaces(venv: VecEnv, rollout: Rollout) -> None:
    """Of observations those of the space; rewards are float32, flags are bool."""
    leads = (venv.num_envs,), rollout.steps.reward.shape
    for ts, lead in zip((rollout.first, rollout.steps), leads, strict=True):
        for seen in (ts.obs, ts.final_obs):
            map_parts(functools.partial(_same_form, lead), venv.spec.obs_space, seen)
        hold(ts.reward.dtype == np.float32, f"the reward is {ts.reward.dtype}, not float32")
        flags = {ts.reset.dtype, ts.terminated.dtype, ts.truncated.dtype}
        hold(flags == {np.dtype(bool)}, f"reset, terminated and truncated are {flags}, not bool")
        hold(all(x.shape == lead for x in ts[1:5]), "rewards or flags are not one an environment")


def numbers_are_finite(venv: VecEnv, rollout: Rollout) -> None:
    """Observations and rewards."""
    for leaf in jax.tree.leaves((rollout.steps.obs, rollout.steps.reward)):
        hold(np.isfinite(leaf).all(), "an observation or a reward is not finite")


def observations_lie_in_the_space(venv: VecEnv, rollout: Rollout) -> None:
    """All of them, also those of ends."""

    def check(space: Any, obs: np.ndarray) -> None:
        inside = np.asarray(jax.vmap(jax.vmap(space.contains))(obs))
        hold(inside.all(), f"{(~inside).sum()} of {inside.size} observations lie outside the space")

    map_parts(check, venv.spec.obs_space, rollout.steps.final_obs)


def rewards_lie_in_their_range(venv: VecEnv, rollout: Rollout) -> None:
    """That of the environment, `reward_range`."""
    low, high = venv.spec.reward_range
    least, most = rollout.steps.reward.min(), rollout.steps.reward.max()
    inside = low - SLACK <= least and most <= high + SLACK
    hold(inside, f"rewards of {least:g} to {most:g} where reward_range says {low:g} to {high:g}")


def seeds_by_vmap_equal_single_ones(
    venv: VecEnv, same: Callable = np.testing.assert_array_equal, num_steps: int = 15
) -> None:
    """Runs of several keys in one program are those of each key alone."""

    def steps(key: jax.Array) -> TimeStep:
        state, _ = venv.reset(key)

        def body(state: Any, key: jax.Array) -> tuple[Any, TimeStep]:
            return venv.step(state, random_actions(venv, key), key)

        return jax.lax.scan(body, state, jax.random.split(key, num_steps))[1]

    keys = jax.random.split(jax.random.key(3), 4)
    together = jax.jit(jax.vmap(steps))(keys)
    for i, key in enumerate(keys):
        row = jax.tree.map(lambda x, i=i: x[i], together)
        jax.tree.map(same, row, jax.jit(steps)(key))


def _same_form(lead: tuple[int, ...], space: Any, obs: np.ndarray) -> None:
    wanted, got = ((*lead, *space.shape), np.dtype(space.dtype)), (obs.shape, obs.dtype)
    hold(got == wanted, f"obs is {got} where its space says {wanted}")
