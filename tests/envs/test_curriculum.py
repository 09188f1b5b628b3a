"""Curricula of N-parity and N-delayed-match: what is asked, what it pays, when N grows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.envs import make_env
from rlseq.envs.memory.curriculum import curriculum_level
from rlseq.envs.spaces import describe
from rlseq.errors import InputError

E = 4


def all_right(key, state, ts):
    at = state.inner.time[:, None, None]
    return jnp.take_along_axis(state.inner.answers, at, axis=2)[:, :, 0].astype(jnp.int32)


def right_up_to(n):
    """Right for windows of at most n bits, wrong for longer ones."""

    def policy(key, state, ts):
        right = all_right(key, state, ts)
        longer = jnp.arange(2, right.shape[1] + 2) > n
        return jnp.where(longer[None], 1 - right, right)

    return policy


def single(policy):
    def answer(key, state, ts):
        answers = policy(key, state, ts)
        return jnp.take_along_axis(answers, state.level[:, None] - 2, axis=1)[:, 0]

    return answer


def rolled(roll, curriculum, policy, steps=120, **options):
    options = {"max_n": 6, "num_answers": 8, "curriculum": curriculum, **options}
    venv = make_env("memory:ParityCurriculum", E, **options)
    return roll(venv, steps, policy=single(policy) if curriculum == "single" else policy)


def returns(rollout, length):
    whole = len(rollout.steps.reward) // length
    return rollout.steps.reward[: whole * length].reshape(whole, length, E).sum(1)


@pytest.mark.parametrize("task", ["parity", "delayed_match"])
def test_answers_equal_those_of_numpy(task):
    env = make_env("memory:ParityCurriculum", task=task, max_n=5, num_answers=9).env
    bits = np.random.default_rng(0).integers(0, 2, 14)
    answers = np.asarray(env.right_answers(jnp.asarray(bits, jnp.int8)))
    for n in range(2, 6):
        for t in range(n - 1, 14):
            window = bits[t - n + 1 : t + 1]
            right = window.sum() % 2 if task == "parity" else window[0] == window[-1]
            assert answers[n - 2, t] == right


@pytest.mark.parametrize("curriculum", ["single", "sliding", "multi"])
def test_perfect_answers_raise_n_once_an_episode_up_to_the_last(curriculum, roll):
    rollout = rolled(roll, curriculum, all_right)
    length = 5 + 8
    ends = np.flatnonzero(rollout.steps.reset[:, 0])
    np.testing.assert_array_equal(ends, np.arange(length - 1, 120, length))
    expected = np.minimum(2 + np.arange(1, 121) // length, 6)
    np.testing.assert_array_equal(
        rollout.states.level, np.broadcast_to(expected[:, None], (120, E))
    )
    np.testing.assert_array_equal(rollout.states.inner.level, rollout.states.level)
    np.testing.assert_allclose(returns(rollout, length), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("curriculum", "window", "at_4"),
    [("single", 10, -1.0), ("sliding", 2, 0.0), ("multi", 10, 1 / 3)],
)
def test_n_stays_where_it_is_not_solved(curriculum, window, at_4, roll):
    """Right up to N = 3: level 4 asks for {4}, {3, 4} and {2, 3, 4}."""
    rollout = rolled(roll, curriculum, right_up_to(3), window=window)
    assert set(np.unique(rollout.states.level)) == {2, 3, 4}
    np.testing.assert_allclose(returns(rollout, 13)[:2], 1.0, rtol=1e-5)
    np.testing.assert_allclose(returns(rollout, 13)[2:], at_4, atol=1e-5)


def test_the_share_is_that_of_all_copies_together(roll):
    """One copy of four is always wrong: three quarters are right."""

    def policy(key, state, ts):
        right = all_right(key, state, ts)
        return right.at[0].set(1 - right[0])

    stays, grows = (rolled(roll, "multi", policy, threshold=t) for t in (0.76, 0.75))
    assert (stays.states.level == 2).all() and (grows.states.level[-1] == 6).all()


def test_the_level_is_found_below_wrappers_and_outlives_episodes():
    venv = make_env("memory:DelayedMatchCurriculum", 2, statistics=True, obs_delay=1)
    state, _ = jax.jit(venv.reset)(jax.random.key(0))
    assert int(curriculum_level(state)) == 2
    other, _ = make_env("probe:Leak").reset(jax.random.key(0))
    with pytest.raises(InputError, match="curriculum"):
        curriculum_level(other)


def test_actions_are_one_answer_or_one_for_every_n():
    spaces = [
        describe(make_env("memory:ParityCurriculum", curriculum=c, max_n=4).spec.action_space)
        for c in ("single", "sliding", "multi")
    ]
    assert spaces == ["Discrete(2)", "MultiDiscrete(2, 2, 2)", "MultiDiscrete(2, 2, 2)"]


@pytest.mark.parametrize(
    "options",
    [
        {"curriculum": "slidng"},
        {"task": "parityy"},
        {"max_n": 1},
        {"window": 0},
        {"num_answers": 0},
        {"threshold": 1.1},
        {"sticky_actions": 0.5},
        {"frame_skip": 2},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(InputError, match=r"got|nknown|neither"):
        make_env("memory:ParityCurriculum", **options)
