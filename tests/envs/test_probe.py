"""The probes pay what they claim: optimal and memoryless returns, and V of the first state."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.envs import make_env
from rlseq.envs.probe import FAMILY

GAMMA = 0.9
PIXELS = ("Catch", "CatchBlind")


def nothing(key, state, ts):
    return jnp.zeros(ts.reward.shape, jnp.int32)


def multi(key, state, ts):
    return jnp.where(ts.obs > 0, jnp.array([1, 2]), jnp.array([0, 1]))


def coins(key, state, ts):
    return jnp.where(ts.obs > 0, jnp.array([1, 0, 1]), jnp.array([0, 1, 1]))


BEST = {
    "Constant": nothing,
    "ObsDependent": nothing,
    "ActionDependent": lambda key, state, ts: jnp.ones(ts.reward.shape, jnp.int32),
    "ActionObs": lambda key, state, ts: (ts.obs[:, 0] > 0).astype(jnp.int32),
    "Continuous": lambda key, state, ts: ts.obs,
    "MultiAction": multi,
    "Coins": coins,
    "Delayed": nothing,
    "Truncated": nothing,
    "Recall": lambda key, state, ts: state.cue,
    "Leak": lambda key, state, ts: state.first,
    "Catch": lambda key, state, ts: towards(state),
    "CatchBlind": lambda key, state, ts: towards(state),
}


def towards(state):
    """The paddle's way to the ball."""
    return 1 + jnp.sign(state.ball - state.paddle)


def in_sight(key, state, ts):
    return jnp.argmax(ts.obs, axis=-1).astype(jnp.int32)


def random(key, state, ts):
    return jax.random.randint(key, ts.reward.shape, 0, 2)


def from_the_paddle(key, state, ts):
    """Towards the ball while it is seen, then away from the middle, where the paddle started."""
    away = 1 + jnp.sign(state.paddle - 4)
    return jnp.where(state.time == 0, towards(state), away)


MEMORYLESS = {"Recall": random, "Leak": in_sight, "CatchBlind": from_the_paddle}


@functools.cache  # where no memory is needed, one policy is both the best and the memoryless one
def first_episodes(roll, name, policy, num_envs=None, **options):
    """(probe, row of first_obs each env started with, its rewards [T, E] up to the first end)."""
    num_envs = num_envs or (1000 if name in PIXELS else 4000)  # images take their memory
    venv = make_env(f"probe:{name}", num_envs, **options)
    rollout = roll(venv, venv.spec.max_steps, policy=policy)
    ended = rollout.steps.reset.cumsum(0) - rollout.steps.reset
    rewards = np.where(ended == 0, rollout.steps.reward, 0).astype(np.float64)
    first = rollout.first.obs.reshape(num_envs, 1, -1)
    match = (first == venv.env.first_obs.reshape(1, len(venv.env.first_obs), -1)).all(-1)
    assert (match.sum(1) == 1).all()
    return venv.env, match.argmax(1), rewards


@pytest.mark.parametrize("name", FAMILY.ids())
def test_the_best_policy_earns_the_optimal_return_and_v(name, roll):
    env, start, rewards = first_episodes(roll, name, BEST[name])
    # at most sd 1.7 over 4000 episodes: 0.1 is more than three standard errors
    assert rewards.sum(0).mean() == pytest.approx(env.optimal_return, abs=0.1)
    discounted = (rewards * GAMMA ** np.arange(len(rewards))[:, None]).sum(0)
    if name == "Truncated":  # cut, not ended: the rest is worth gamma^L V
        discounted += GAMMA ** len(rewards) * env.value(GAMMA)
    value = env.value(GAMMA)
    assert value.shape == (len(env.first_obs),)
    for row, expected in enumerate(value):
        assert discounted[start == row].mean() == pytest.approx(expected, abs=0.1)
        assert np.mean(start == row) == pytest.approx(1 / len(value), abs=0.04)


@pytest.mark.parametrize("name", FAMILY.ids())
def test_memory_is_needed_exactly_where_it_is_said(name, roll):
    policy = MEMORYLESS.get(name, BEST[name])
    env, _, rewards = first_episodes(roll, name, policy)
    assert rewards.sum(0).mean() == pytest.approx(env.memoryless_return, abs=0.1)
    assert env.needs_memory == (name in MEMORYLESS)
    assert env.needs_memory == (env.memoryless_return < env.optimal_return)


@pytest.mark.parametrize(("late", "clears"), [(0, True), (1, True), (0, False)])
def test_leak_tells_a_cleared_memory_from_one_that_leaks(late, clears, roll):
    """A memory of the first cue it sees; cleared in time, one step late, or never."""
    venv = make_env("probe:Leak", 2000)
    rollout = roll(venv, 60)
    cue = np.concatenate([rollout.first.obs[None], rollout.steps.obs]).argmax(-1)
    reset = np.concatenate([rollout.first.reset[None], rollout.steps.reset])
    first, memory = cue[0], cue[0]
    right = []
    for t in range(1, 60):
        first = np.where(reset[t], cue[t], first)
        if clears:
            memory = np.where(reset[t - late], cue[t], memory)
        right.append(np.mean(memory == first))
    score = np.mean(right)
    assert score == 1 if clears and not late else score < 0.85


def test_recall_options_set_delay_and_cues(roll):
    env, start, rewards = first_episodes(roll, "Recall", BEST["Recall"], 64, delay=9, num_cues=5)
    assert env.max_steps == len(rewards) == 10
    assert not rewards[:-1].any()
    assert (rewards[-1] == 1).all()
    np.testing.assert_allclose(env.value(GAMMA), GAMMA**9)
    assert start.max() == 4


def test_catch_draws_ball_and_paddle_and_hides_the_ball_after_its_visible_rows(roll):
    rollout = roll(make_env("probe:Catch", 5, visible_rows=3), 6)
    states, obs = rollout.states, np.asarray(rollout.steps.obs)
    for t, e in np.ndindex(6, 5):
        board = np.zeros((8, 8, 3), np.uint8)
        board[7, states.paddle[t, e]] = [200, 72, 72]
        if states.time[t, e] < 3:
            board[states.time[t, e], states.ball[t, e]] = 236
        np.testing.assert_array_equal(obs[t, e], np.kron(board, np.ones((8, 8, 1), np.uint8)))
    assert obs.dtype == np.uint8
