"""Order statistics against NumPy's sort, ties and signs included."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlseq.rl.selection import largest, quantile

SIZE = 12
FLUSHED = np.finfo(np.float32).tiny  # XLA makes smaller numbers 0
NUMBERS = st.floats(-(2.0**40), 2.0**40, width=32) | st.sampled_from([0.0, -0.0, 1.0, -1.0])
ARRAYS = st.lists(NUMBERS, min_size=SIZE, max_size=SIZE).map(lambda x: np.array(x, np.float32))
pick = jax.jit(largest, static_argnums=1)
between = jax.jit(quantile, static_argnums=1)


@given(x=ARRAYS, count=st.sampled_from([1, 5, SIZE]))
@settings(deadline=None, max_examples=60)
def test_largest_are_the_last_of_a_sort(x, count):
    places = np.asarray(pick(jnp.asarray(x), count))
    assert len(set(places.tolist())) == count and (np.diff(places) > 0).all()
    np.testing.assert_array_equal(np.sort(x[places]), np.sort(x)[SIZE - count :])


@given(x=ARRAYS, fraction=st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]))
@settings(deadline=None, max_examples=60)
def test_quantiles_are_numpys(x, fraction):
    expected = np.quantile(x.astype(np.float64), fraction)
    scale = np.abs(x).max()
    near = 2e-6 * scale + FLUSHED
    np.testing.assert_allclose(between(jnp.asarray(x), fraction), expected, atol=near)


@given(x=ARRAYS, mask=st.lists(st.booleans(), min_size=SIZE, max_size=SIZE).filter(any))
@settings(deadline=None, max_examples=60)
def test_masked_quantiles_are_numpys_of_what_is_left(x, mask):
    mask = np.array(mask)
    for fraction in (0.05, 0.95):
        expected = np.quantile(x[mask].astype(np.float64), fraction)
        got = between(jnp.asarray(x), fraction, jnp.asarray(mask))
        near = 2e-6 * np.abs(x[mask]).max() + FLUSHED
        np.testing.assert_allclose(got, expected, atol=near)


def test_ties_take_the_first_places():
    x = jnp.array([1.0, 3.0, 1.0, 1.0, 2.0])
    np.testing.assert_array_equal(pick(x, 4), [0, 1, 2, 4])


@pytest.mark.parametrize("count", [1, 3])
def test_rows_under_vmap_are_each_their_own(count):
    x = jax.random.normal(jax.random.key(0), (4, 50))
    many = jax.vmap(partial(largest, count=count))(x)
    np.testing.assert_array_equal(many, np.sort(np.argsort(x, axis=1)[:, -count:], axis=1))
