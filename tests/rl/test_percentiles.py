"""The scale of returns against NumPy's percentiles."""

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.rl.percentiles import init_percentiles, update_percentiles


def test_the_moving_averages_are_numpys():
    rng = np.random.default_rng(0)
    state, low, high = init_percentiles(), 0.0, 0.0
    assert state.scale == 1
    update = jax.jit(update_percentiles)
    for scale in (1.0, 300.0, 1000.0):
        returns = scale * rng.normal(size=(5, 7))
        state = update(state, jnp.asarray(returns, jnp.float32))
        low = 0.99 * low + 0.01 * np.percentile(returns, 5)
        high = 0.99 * high + 0.01 * np.percentile(returns, 95)
        np.testing.assert_allclose(state, (low, high), rtol=1e-4)
        np.testing.assert_allclose(state.scale, max(1, high - low), rtol=1e-4)
    assert state.scale > 10


def test_returns_outside_the_mask_do_not_count():
    returns = jnp.arange(8.0).reshape(2, 4)
    mask = returns < 5
    state = update_percentiles(init_percentiles(), returns, mask)
    expected = [0.01 * np.percentile(np.arange(5.0), q) for q in (5, 95)]
    np.testing.assert_allclose(state, expected, rtol=1e-5)
    same = update_percentiles(state, returns, jnp.zeros_like(mask))
    np.testing.assert_array_equal(same, state)
