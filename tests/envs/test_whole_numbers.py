"""Actions of JAX environments that are whole numbers between bounds; noise on whole numbers."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.spaces import Box
from hypothesis import strategies as st

from rlseq.envs import make_env
from rlseq.envs.observation_wrappers import Noisy, _sum_within
from rlseq.envs.probe_one_step import Continuous
from rlseq.envs.spaces import MultiDiscrete

KEY = jax.random.key(0)
TWO = Box(jnp.array([-3, 5]), jnp.array([3, 6]), (2,), jnp.int32)
steady = hypothesis.settings(deadline=None, derandomize=True, max_examples=60)


@pytest.fixture
def paid(monkeypatch):
    """What a probe of whole numbers receives, as its reward; `make` takes its action space."""

    def make(space, **switches):
        monkeypatch.setattr(Continuous, "action_space", lambda *_: space)
        monkeypatch.setattr(Continuous, "payoff", lambda self, seen, action: _number(action))
        return make_env("probe:Continuous", 2, **switches)

    return make


def _number(action):
    assert jnp.issubdtype(action.dtype, jnp.integer)
    digits = action.astype(jnp.float32).ravel()
    return (digits * 1000.0 ** np.arange(digits.size, dtype=np.float32)).sum()


@pytest.mark.parametrize(
    ("space", "nvec", "action", "number"),
    [
        (Box(-3, 3, (1,), jnp.int32), [7], [[0], [6]], [-3, 3]),
        (TWO, [7, 2], [[0, 1]] * 2, [5997] * 2),
        (Box(-128, 127, (1,), jnp.int8), [256], [[0], [255]], [-128, 127]),
        (Box(0.0, 255.0, (1, 2), jnp.uint8), [256, 256], [[1, 2], [255, 0]], [2001, 255]),
        (Box(2, 4, (), jnp.uint32), [3], [[0], [2]], [2, 4]),
    ],
)  # fmt: skip
def test_whole_numbers_are_chosen(paid, space, nvec, action, number):
    venv = paid(space, debug=True, previous_action=True)
    assert repr(venv.spec.action_space) == repr(MultiDiscrete(nvec))
    state, _ = venv.reset(KEY)
    _, ts = venv.step(state, jnp.asarray(action, jnp.int32), KEY)
    np.testing.assert_array_equal(ts.reward, number)
    assert ts.final_obs[1].sum() == 2 * len(nvec)  # one-hots of what was chosen


def test_every_value_is_drawn_as_often(paid):
    venv = paid(Box(-3, 3, (1,), jnp.int32))
    drawn = jax.vmap(venv.spec.action_space.sample)(jax.random.split(KEY, 7000))
    np.testing.assert_allclose(np.bincount(np.asarray(drawn).ravel()), 1000, atol=120)


@pytest.mark.parametrize("bounds", [(-jnp.inf, jnp.inf), (0, 2**16), (-(2**31), 2**31 - 1)])
def test_whole_numbers_without_near_bounds_stay_a_box(paid, bounds):
    assert isinstance(paid(Box(*bounds, (1,), jnp.int32)).spec.action_space, Box)


DTYPES = st.sampled_from(["int8", "uint8", "int16", "int32", "uint32"])


@steady
@hypothesis.given(dtype=DTYPES, data=st.data(), more=st.integers(-(2**31), 2**31 - 1))
def test_noise_on_whole_numbers_is_exact_and_stays_within(dtype, data, more):
    ends = np.iinfo(dtype)
    numbers = st.integers(int(ends.min), int(ends.max))
    low, x, high = sorted(data.draw(st.tuples(numbers, numbers, numbers)))
    bounds = np.array([low]), np.array([high])
    got = _sum_within(jnp.asarray([x], dtype), jnp.asarray([more], jnp.int32), *bounds)
    wanted = min(max(x + more, low), high)
    if np.dtype(dtype).itemsize < 4:  # noise beyond what int32 adds to it is cut before
        wanted = wanted if abs(x + more) < 2**31 - 1 else int(got[0])
    assert got.dtype == dtype and int(got[0]) == wanted


def test_noise_keeps_numbers_that_float32_rounds():
    base = 2**30 + 1

    class Says:
        num_envs = 1
        spec = make_env("probe:Constant").spec._replace(
            obs_space=Box(0, 2**31 - 1, (1,), jnp.int32)
        )

    noisy = functools.partial(Noisy(Says(), 0.05).change, KEY)
    np.testing.assert_array_equal(noisy(jnp.full((1, 64), base, jnp.int32)), base)
