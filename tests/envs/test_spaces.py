"""MultiDiscrete, and flattening of each kind of space."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from hypothesis import strategies as st

from rlseq.envs.spaces import MultiDiscrete, describe, flat_size, flatten
from rlseq.errors import InputError

steady = hypothesis.settings(deadline=None, derandomize=True, max_examples=15)
nvecs = st.lists(st.integers(1, 5), min_size=1, max_size=3)


@steady
@hypothesis.given(nvec=nvecs, seed=st.integers(0, 1000))
def test_multi_discrete_samples_lie_inside_and_flatten_to_one_hots(nvec, seed):
    space = MultiDiscrete(nvec)
    x = space.sample(jax.random.key(seed))
    assert x.shape == space.shape == (len(nvec),)
    assert x.dtype == space.dtype
    assert space.contains(x)
    assert not space.contains(x.at[0].set(nvec[0]))
    assert not space.contains(x.at[0].set(-1))
    flat = np.asarray(flatten(space, x))
    starts = np.cumsum([0, *nvec[:-1]])
    expected = np.zeros(sum(nvec), np.float32)
    expected[starts + np.asarray(x)] = 1
    np.testing.assert_array_equal(flat, expected)


def test_multi_discrete_sampling_is_uniform():
    keys = jax.random.split(jax.random.key(0), 6000)
    x = np.asarray(jax.vmap(MultiDiscrete([2, 3]).sample)(keys))
    counts = np.bincount(x[:, 0] * 3 + x[:, 1], minlength=6)
    np.testing.assert_allclose(counts / 6000, 1 / 6, atol=0.02)


PAIR = spaces.Tuple((spaces.Discrete(3), spaces.Box(0.0, 1.0, (2, 2))))
KEYED = spaces.Dict({"b": spaces.Discrete(2), "a": MultiDiscrete([2, 2])})


@pytest.mark.parametrize("lead", [(), (5,), (4, 5)])
def test_nested_spaces_flatten_in_order_with_any_leading_axes(lead):
    card = jnp.full(lead, 2, jnp.int32)
    image = jnp.broadcast_to(jnp.arange(4, dtype=jnp.uint8).reshape(2, 2), (*lead, 2, 2))
    flat = flatten(PAIR, (card, image))
    assert flat.dtype == jnp.float32
    row = np.array([0, 0, 1, 0, 1, 2, 3])
    np.testing.assert_array_equal(flat, np.broadcast_to(row, (*lead, flat_size(PAIR))))
    keyed = {"b": jnp.ones(lead, jnp.int32), "a": jnp.zeros((*lead, 2), jnp.int32)}
    row = np.array([0, 1, 1, 0, 1, 0])
    np.testing.assert_array_equal(flatten(KEYED, keyed), np.broadcast_to(row, (*lead, 6)))


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (spaces.Discrete(4), "Discrete(4)"),
        (MultiDiscrete([2, 3]), "MultiDiscrete(2, 3)"),
        (MultiDiscrete([3] * 52), "MultiDiscrete([3] * 52)"),
        (spaces.Box(0.0, 1.0, (2,)), "Box(2,)"),
        (PAIR, "Tuple(Discrete(3), Box(2, 2))"),
        (KEYED, "Dict(b: Discrete(2), a: MultiDiscrete(2, 2))"),
    ],
)
def test_describe(space, text):
    assert describe(space) == text


@pytest.mark.parametrize("nvec", [[], [0], [3, -1]])
def test_impossible_multi_discrete(nvec):
    with pytest.raises(InputError, match="at least 1"):
        MultiDiscrete(nvec)


def test_unknown_spaces_are_named():
    for function in (flat_size, lambda space: flatten(space, jnp.zeros(2))):
        with pytest.raises(InputError, match="cannot flatten"):
            function(spaces.Space())
