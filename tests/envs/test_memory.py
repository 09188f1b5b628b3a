"""The memory tasks pay what they claim: perfect play, memoryless play, and every rule by itself."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.envs import make_env
from rlseq.envs.memory import FAMILY
from rlseq.envs.memory.memory_length import MemoryLengthState
from rlseq.errors import InputError

from .side_by_side import together


def first_returns(roll, name, policy, num_envs=64, **options):
    venv = make_env(f"memory:{name}", num_envs, **options)
    steps = roll(venv, venv.spec.max_steps, policy=policy).steps
    first = np.cumsum(steps.reset, axis=0) - steps.reset == 0
    assert steps.reset.any(0).all()
    return (steps.reward * first).sum(0, dtype=np.float64)


def asked_bit(key, state, ts):
    return jnp.take_along_axis(state.context, state.query[:, None], axis=1)[:, 0]


def answer_from(lag):
    def policy(key, state, ts):
        at = jnp.maximum(state.time - lag, 0)
        return jnp.take_along_axis(state.answers, at[:, None], axis=1)[:, 0].astype(jnp.int32)

    return policy


def turn_by(sign_of):
    """Forward to the junction, then to the side that sign_of(key, state) [E] says."""

    def policy(key, state, ts):
        side = jnp.where(sign_of(key, state) > 0, 2, 3)
        return jnp.where(ts.obs[:, 2] == 1, side, 0)

    return policy


def guess(key, state, ts):
    return jax.random.bernoulli(key, 0.5, ts.reward.shape).astype(jnp.int32)


def answer_for_level(key, state, ts):
    at = state.inner.time[:, None, None]
    answers = jnp.take_along_axis(state.inner.answers, at, axis=2)[:, :, 0]
    return jnp.take_along_axis(answers, state.level[:, None] - 2, axis=1)[:, 0].astype(jnp.int32)


BEST = {
    "ParityCurriculum": answer_for_level,
    "DelayedMatchCurriculum": answer_for_level,
    "MemoryLength": asked_bit,
    "TMaze": turn_by(lambda key, state: state.sign),
    "Parity": answer_from(1),
    "DelayedMatch": answer_from(1),
}
GUESS = {"TMaze": turn_by(lambda key, state: jax.random.normal(key, state.time.shape))}


@functools.cache
def best_and_guess(roll, name):
    """Returns of 64 episodes of perfect play and of 2000 without memory."""
    policy, num_envs, (best, blind) = together((BEST[name], 64), (GUESS.get(name, guess), 2000))
    earned = first_returns(roll, name, policy, num_envs)
    return earned[best], earned[blind]


@pytest.mark.parametrize("name", FAMILY.ids())
def test_perfect_play_earns_the_optimal_return(roll, name):
    env, _ = FAMILY.make(name)
    np.testing.assert_allclose(best_and_guess(roll, name)[0], env.optimal_return, rtol=1e-5)


@pytest.mark.parametrize("name", FAMILY.ids())
def test_without_memory_chance_is_the_best(roll, name):
    env, _ = FAMILY.make(name)
    assert best_and_guess(roll, name)[1].mean() == pytest.approx(
        env.memoryless_return, abs=4 / 2000**0.5
    )


@pytest.mark.parametrize("name", ["Parity", "DelayedMatch"])
@pytest.mark.parametrize("constant", [1, "bit"])
def test_answers_tell_nothing_to_who_sees_one_bit(roll, name, constant):
    def policy(key, state, ts):
        return ts.obs if constant == "bit" else jnp.full_like(ts.obs, constant)

    assert abs(first_returns(roll, name, policy, 2000).mean()) < 0.03


@pytest.mark.parametrize("length", [1, 2, 4096])
def test_memory_length_is_kept_and_ends_with_its_answer(roll, length):
    venv = make_env("memory:MemoryLength", 8, memory_length=length, num_bits=3)
    rollout = roll(venv, length + 1, policy=asked_bit)
    steps = rollout.steps
    np.testing.assert_array_equal(steps.terminated.all(1), np.arange(length + 1) == length)
    assert not steps.truncated.any()
    np.testing.assert_array_equal(steps.reward[-1], np.ones(8, np.float32))
    assert not steps.reward[:-1].any()
    shown = np.concatenate([rollout.first.obs[None], steps.final_obs])
    assert (np.abs(shown[:2, :, 2:]) == 1).all() and not shown[2:, :, 2:].any()
    np.testing.assert_array_equal(shown[length, :, 1], rollout.states.query[0])
    np.testing.assert_allclose(shown[[0, length + 1], :, 0], [[1.0] * 8, [0.0] * 8])


@pytest.mark.parametrize("length", [1, 2, 9])
def test_memory_length_equals_gymnaxs_chain_step_by_step(roll, length):
    theirs = roll(
        make_env("gymnax:MemoryChain-bsuite", 16, memory_length=length, num_bits=3), length + 1
    )
    env, params = FAMILY.make("MemoryLength", memory_length=length, num_bits=3)
    hidden = (np.zeros(16), theirs.first.obs[:, 2:] > 0, theirs.states.query[0])
    state = MemoryLengthState(*(np.asarray(x, np.int32) for x in hidden))

    @jax.jit
    def ours(key, state, actions):
        def step(state, action):
            move = jax.vmap(env.step_env, in_axes=(None, 0, 0, None))
            obs, state, reward, terminated, _ = move(key, state, action, params)
            return state, (obs, reward, terminated)

        look = jax.vmap(env.observe, in_axes=(None, 0, None, None))
        return look(key, state, None, params), jax.lax.scan(step, state, actions)[1]

    first, (obs, reward, terminated) = ours(jax.random.key(0), state, theirs.actions)
    np.testing.assert_array_equal(first, theirs.first.obs.reshape(16, -1))
    np.testing.assert_allclose(obs, theirs.steps.final_obs.reshape(length + 1, 16, -1), atol=1e-6)
    np.testing.assert_array_equal(reward, theirs.steps.reward)
    np.testing.assert_array_equal(terminated, theirs.steps.terminated)


@pytest.mark.parametrize("n", [2, 7])
@pytest.mark.parametrize("name", ["Parity", "DelayedMatch"])
def test_answers_are_those_of_a_numpy_twin(roll, name, n):
    venv = make_env(f"memory:{name}", 16, n=n, num_answers=9)
    rollout = roll(venv, n + 8, seed=2)
    assert venv.spec.max_steps == n + 8
    shown = np.concatenate([rollout.first.obs[None], rollout.steps.final_obs])
    for t in range(n + 8):
        last = shown[max(t - n + 1, 0) : t + 1]
        answer = last.sum(0) % 2 if name == "Parity" else last[0] == last[-1]
        sign = np.where(rollout.actions[t] == answer, 1, -1) * (t >= n - 1)
        np.testing.assert_allclose(rollout.steps.reward[t], sign / 9, rtol=1e-6)


@functools.cache
def t_maze():
    """(reset, step) of one short maze."""
    venv = make_env("memory:TMaze", 1, corridor_length=2)
    return jax.jit(venv.reset), jax.jit(venv.step)


def play_t_maze(actions):
    """(sign, obs [T, 3], rewards, terminated, truncated) of one episode under fixed actions."""
    reset, step = t_maze()
    state, ts = reset(jax.random.key(1))
    sign, rows = int(state.sign[0]), []
    for action in actions:
        state, ts = jax.device_get(step(state, np.array([action], np.int32), jax.random.key(2)))
        rows.append((*ts.final_obs[0], ts.reward[0], ts.terminated[0], ts.truncated[0]))
    rows = np.array(rows, np.float64)
    return sign, rows[:, :3], rows[:, 3], rows[:, 4], rows[:, 5]


def test_t_maze_shows_its_sign_at_the_start_alone_and_charges_for_detours():
    sign, obs, reward, _, _ = play_t_maze([1, 2, 0, 1, 0, 0])
    at = [0, 0, 1, 0, 1, 2]
    expected = [(sign * (p == 0), p == 1, p == 2) for p in at]
    np.testing.assert_array_equal(obs, expected)
    waste = -1 / 6
    np.testing.assert_allclose(reward[:5], [waste, waste, 0, waste, 0], rtol=1e-6)


@pytest.mark.parametrize("turn", [2, 3])
def test_turning_ends_a_t_maze(turn):
    sign, _, reward, terminated, truncated = play_t_maze([0, 0, turn])
    np.testing.assert_allclose(reward, [0, 0, sign if turn == 2 else -sign])
    np.testing.assert_array_equal(terminated, [0, 0, 1])
    assert not truncated.any()


def test_a_t_maze_is_cut_at_its_limit():
    _, _, reward, terminated, truncated = play_t_maze([1] * 6)
    np.testing.assert_array_equal(truncated, [0] * 5 + [1])
    assert not terminated.any()
    assert reward.sum() == pytest.approx(-1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MemoryLength", {"memory_length": 0}),
        ("MemoryLength", {"memory_length": 4097}),
        ("MemoryLength", {"num_bits": 0}),
        ("TMaze", {"corridor_length": 0}),
        ("Parity", {"n": 1}),
        ("DelayedMatch", {"num_answers": 0}),
    ],
)
def test_impossible_options_are_refused(name, options):
    with pytest.raises(InputError, match="got"):
        make_env(f"memory:{name}", **options)
