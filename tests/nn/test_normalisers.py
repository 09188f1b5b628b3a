"""Running moments against NumPy over any split into batches."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rlseq.nn.normalisers import init_moments, normalise, update_moments

N, D = 24, 3


def moments_of(batches):
    moments = init_moments(D)
    for batch in batches:
        moments = update_moments(moments, jnp.asarray(batch, jnp.float32))
    return moments


@settings(max_examples=25, deadline=None)
@given(cuts=st.sets(st.sampled_from([4, 8, 12, 16, 20])), seed=st.integers(0, 2**31))
def test_any_split_into_batches_gives_numpys_moments(cuts, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.normal(size=D) * 5, 1 + rng.random(D), size=(N, D))
    moments = moments_of(np.split(x, sorted(cuts)))
    assert moments.count == N
    np.testing.assert_allclose(moments.mean, x.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moments.squares / N, x.var(0), rtol=1e-3)
    expected = (x - x.mean(0)) / x.std(0)
    got = normalise(moments, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


def test_leading_axes_are_one_batch():
    x = np.random.default_rng(0).normal(size=(2, 4, 3, D))
    whole, rows = moments_of([x]), moments_of([x.reshape(-1, D)])
    for a, b in zip(whole, rows, strict=True):
        np.testing.assert_array_equal(a, b)


def test_masked_vectors_are_left_out():
    x = np.random.default_rng(2).normal(size=(6, 4, D)).astype(np.float32)
    mask = np.random.default_rng(3).random((6, 4)) < 0.5
    moments = update_moments(init_moments(D), jnp.asarray(x), jnp.asarray(mask))
    whole = update_moments(init_moments(D), jnp.asarray(x[mask]))
    for a, b in zip(moments, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    nothing = update_moments(moments, jnp.asarray(x), jnp.zeros((6, 4), bool))
    for a, b in zip(moments, nothing, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_large_offset_does_not_eat_the_variance():
    x = 1000 + np.random.default_rng(1).normal(size=(2000, D))
    moments = moments_of(np.split(x, 20))
    np.testing.assert_allclose(moments.squares / 2000, x.var(0), rtol=0.01)


def test_before_any_data_nothing_changes_but_the_limit():
    x = jnp.asarray([[-20.0, 0.5, 20.0]])
    np.testing.assert_allclose(normalise(init_moments(D), x), [[-10, 0.5, 10]], rtol=1e-6)


def test_the_limit_holds_and_a_constant_becomes_zero():
    moments = moments_of([np.ones((5, D)), np.ones((3, D))])
    assert (normalise(moments, jnp.ones((2, D))) == 0).all()
    far = normalise(moments, jnp.full((2, D), 7.0), limit=5.0)
    assert (far == 5).all()
