"""Advantages against a NumPy twin and closed forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlseq.rl.returns import gae, lambda_returns

T, E = 7, 3
FLAGS = st.lists(st.sampled_from(["going", "ended", "cut"]), min_size=T * E, max_size=T * E)
UNIT = st.floats(0, 1, width=32)


def twin(reward, value, next_value, terminated, done, gamma, lam):
    """The sum of equation 16 written out: every later delta, as long as its episode lasts."""
    steps, envs = reward.shape
    result = np.zeros((steps, envs))
    for e in range(envs):
        for t in range(steps):
            weight = 1.0
            for s in range(t, steps):
                successor = 0.0 if terminated[s, e] else next_value[s, e]
                result[t, e] += weight * (reward[s, e] + gamma * successor - value[s, e])
                if done[s, e]:
                    break
                weight *= gamma * lam
    return result


def jax_gae(reward, value, next_value, terminated, done, gamma, lam):
    floats = [jnp.asarray(x, jnp.float32) for x in (reward, value, next_value)]
    flags = [jnp.asarray(x, bool) for x in (terminated, done)]
    return np.asarray(gae(*floats, *flags, gamma=gamma, lam=lam))


@settings(max_examples=40, deadline=None)
@given(flags=FLAGS, seed=st.integers(0, 2**31), gamma=UNIT, lam=UNIT)
def test_equals_the_twin(flags, seed, gamma, lam):
    rng = np.random.default_rng(seed)
    flags = np.array(flags).reshape(T, E)
    arrays = [rng.normal(size=(T, E)) for _ in range(3)]
    terminated, done = flags == "ended", flags != "going"
    expected = twin(*arrays, terminated, done, gamma, lam)
    got = jax_gae(*arrays, terminated, done, gamma, lam)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_gamma_and_lambda_one_sum_the_rewards_to_come():
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(2, T, E))
    terminated = np.zeros((T, E), bool)
    terminated[-1] = True
    next_value = np.roll(value, -1, axis=0)
    got = jax_gae(reward, value, next_value, terminated, terminated, 1.0, 1.0)
    to_come = np.cumsum(reward[::-1], axis=0)[::-1]
    np.testing.assert_allclose(got + value, to_come, atol=1e-5)


def test_lambda_zero_is_the_one_step_error():
    rng = np.random.default_rng(1)
    reward, value, next_value = rng.normal(size=(3, T, E))
    done = rng.random((T, E)) < 0.3
    got = jax_gae(reward, value, next_value, done, done, 0.9, 0.0)
    expected = reward + 0.9 * np.where(done, 0, next_value) - value
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_a_constant_reward_cut_by_time_is_worth_the_endless_sum(lam):
    gamma, done = 0.9, np.zeros((T, E), bool)
    done[[2, 5]] = True
    worth = np.full((T, E), 1 / (1 - gamma))
    got = jax_gae(np.ones((T, E)), worth, worth, np.zeros((T, E), bool), done, gamma, lam)
    np.testing.assert_allclose(got, 0, atol=1e-5)
    # Held to be an end, the same data would call for less than that.
    assert (jax_gae(np.ones((T, E)), worth, worth, done, done, gamma, lam)[2] < -1).all()


def test_nothing_after_the_end_of_an_episode_is_seen():
    rng = np.random.default_rng(2)
    reward, value, next_value = rng.normal(size=(3, T, E))
    done = np.zeros((T, E), bool)
    done[3] = True
    before = jax_gae(reward, value, next_value, done, done, 0.9, 0.9)
    reward[4:], next_value[3:] = 1e6, np.nan
    after = jax_gae(reward, value, next_value, done, done, 0.9, 0.9)
    assert (before[:4] == after[:4]).all()


@pytest.mark.parametrize("own_value", [False, True])
def test_lambda_returns_equal_their_slow_sum(own_value):
    rng = np.random.default_rng(3)
    steps, batch, gamma, lam = 6, 3, 0.9, 0.7
    reward, value = rng.normal(size=(steps, batch)), rng.normal(size=(steps + 1, batch))
    alive = (rng.random((steps, batch)) < 0.8).astype(float)
    expected = np.zeros((steps, batch))
    for n in range(batch):
        for t in range(steps):
            # The mixture of k-step returns, each written out.
            total, weight = 0.0, 1.0
            for k in range(1, steps - t + 1):
                going = [np.prod(alive[t : t + i, n]) for i in range(k + 1)]
                seen = t + k - 1 if own_value else t + k
                near, last = value[seen, n], value[steps, n]
                rewards = sum(gamma**i * going[i] * reward[t + i, n] for i in range(k))
                ahead = gamma**k * going[k]
                if t + k < steps:
                    share = (1 - lam) * weight
                    total += share * (rewards + ahead * near)
                    weight *= lam
                    continue
                # The last one bootstraps from both parts of the mixture at once.
                total += weight * (rewards + ahead * ((1 - lam) * near + lam * last))
            expected[t, n] = total
    found = jax.jit(partial(lambda_returns, gamma=gamma, lam=lam, own_value=own_value))(
        *(jnp.asarray(x, jnp.float32) for x in (reward, value, alive))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_lambda_returns_by_hand():
    reward, value = jnp.array([[1.0], [2.0]]), jnp.array([[5.0], [10.0], [20.0]])
    alive = jnp.ones((2, 1))
    found = lambda_returns(reward, value, alive, gamma=0.5, lam=0.5)
    np.testing.assert_allclose(found[:, 0], [1 + 0.5 * (0.5 * 10 + 0.5 * 12), 2 + 0.5 * 20])
    wrong = lambda_returns(reward, value, alive, gamma=0.5, lam=0.5, own_value=True)
    second = 2 + 0.5 * (0.5 * 10 + 0.5 * 20)
    np.testing.assert_allclose(wrong[:, 0], [1 + 0.5 * (0.5 * 5 + 0.5 * second), second])
