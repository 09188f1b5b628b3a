"""Wrappers: nothing of an episode shows in the next one, and counts equal a numpy twin's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.envs import make_env
from rlseq.envs.spaces import flatten
from rlseq.envs.wrappers import (
    EpisodeStatistics,
    FlattenObservation,
    PreviousAction,
    StartFlag,
    episode_stats,
    with_statistics,
)
from rlseq.errors import InputError

T, E = 60, 4
IDS = ["probe:Leak", "probe:MultiAction", "probe:Continuous", "gymnax:CartPole-v1"]


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("env_id", IDS)
def test_previous_action_is_null_at_each_start(env_id, roll):
    venv = make_env(env_id, E, previous_action=True)
    rollout = roll(venv, T)
    plain, previous = rollout.steps.obs
    final_plain, led_to_final = rollout.steps.final_obs
    actions = np.asarray(flatten(venv.spec.action_space, jnp.asarray(rollout.actions)))
    reset = rollout.steps.reset
    assert reset.any()
    assert (previous[reset] == 0).all()
    same(previous[~reset], actions[~reset])
    same(led_to_final, actions)
    assert not rollout.first.obs[1].any()
    same(final_plain[~reset], plain[~reset])


@pytest.mark.parametrize("env_id", IDS)
def test_start_flag_is_reset_and_final_obs_is_no_start(env_id, roll):
    rollout = roll(make_env(env_id, E, start_flag=True), T)
    same(rollout.steps.obs[1][..., 0], rollout.steps.reset.astype(np.float32))
    assert not rollout.steps.final_obs[1].any()
    assert rollout.first.obs[1].all()


def test_an_episode_looks_the_same_whatever_came_before(roll):
    """The first observation after a reset depends on the fresh episode alone."""
    venv = make_env("probe:Constant", E, previous_action=True, start_flag=True, flatten=True)
    steps = roll(venv, T).steps
    same(steps.obs, np.broadcast_to(np.float32([0, 0, 0, 1]), steps.obs.shape))


def test_wrappers_compose_in_the_order_of_the_docs(roll):
    switches = {"previous_action": True, "start_flag": True, "flatten": True}
    venv = make_env("popgym:CountRecallMedium", E, statistics=True, **switches)
    assert isinstance(venv, EpisodeStatistics)
    assert isinstance(venv.inner, FlattenObservation)
    assert isinstance(venv.inner.inner, StartFlag)
    assert isinstance(venv.inner.inner.inner, PreviousAction)
    assert venv.spec.obs_space.shape == (4 + 4 + 27 + 1,)
    rollout = roll(venv, 110)
    assert rollout.steps.obs.shape == (110, E, 36)
    assert rollout.steps.obs.dtype == np.float32
    # two one-hots of the observation, one of the action except at starts, where the flag is
    same(rollout.steps.obs.sum(-1), np.full((110, E), 3.0, np.float32))


@pytest.mark.parametrize("statistics", [False, True])
def test_agents_find_episodes_counted_once(statistics):
    env = make_env("probe:Constant", E, statistics=statistics)
    counted = with_statistics(env)
    assert (counted is env) == statistics
    assert isinstance(counted, EpisodeStatistics)
    assert not isinstance(counted.inner, EpisodeStatistics)


def test_flatten_keeps_images_in_order(roll):
    plain = roll(make_env("gymnax:Catch-bsuite", E), 20).steps
    flat = roll(make_env("gymnax:Catch-bsuite", E, flatten=True), 20).steps
    same(flat.obs, plain.obs.reshape(20, E, -1))
    same(flat.final_obs, plain.final_obs.reshape(20, E, -1))


@pytest.mark.parametrize("env_id", ["probe:Leak", "probe:Truncated", "popgym:RepeatPreviousEasy"])
def test_statistics_equal_a_numpy_twin(env_id, roll):
    rollout = roll(make_env(env_id, E, statistics=True), 130)
    steps, stats = rollout.steps, episode_stats(rollout.states)
    ended = steps.terminated | steps.truncated
    assert ended.any()
    running, length = np.zeros(E, np.float32), np.zeros(E, int)
    last = np.zeros(E, np.float32), np.zeros(E, int)
    for t in range(130):
        running, length = running + steps.reward[t], length + 1
        last = np.where(ended[t], running, last[0]), np.where(ended[t], length, last[1])
        running, length = np.where(ended[t], np.float32(0), running), np.where(ended[t], 0, length)
        same((stats.ended_return[t], stats.ended_length[t]), last)
        same(
            (rollout.states.running_return[t], rollout.states.running_length[t]), (running, length)
        )


def test_wrappers_leave_the_rest_of_a_time_step_alone(roll):
    plain = roll(make_env("probe:Leak", E), T).steps
    switches = {"previous_action": True, "start_flag": True, "flatten": True, "statistics": True}
    wrapped = roll(make_env("probe:Leak", E, **switches), T).steps
    same(plain[1:5], wrapped[1:5])


def test_episode_stats_of_another_state_is_a_clear_error():
    state, _ = make_env("probe:Leak", E).reset(jax.random.key(0))
    with pytest.raises(InputError, match="statistics=True"):
        episode_stats(state)
