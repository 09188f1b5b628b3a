"""E5: the fast form for one recurrent matrix against the plain scan of the same cell."""

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.scans.sequential import cell_scan, clear, recurrent_scan


def gates(c, x, product, h):
    c = jnp.tanh(c + x["a"]) * jax.nn.sigmoid(product)
    return c, h * 0.5 + c * x["b"]


def test_clear_picks_rows_and_stops_nan():
    carry = (jnp.full((3, 2), jnp.nan), jnp.arange(3))
    cleared = clear(carry, (jnp.zeros((3, 2)), jnp.full(3, 9)), jnp.array([True, False, True]))
    np.testing.assert_array_equal(cleared[1], [9, 1, 9])
    assert np.isfinite(cleared[0][0]).all()
    assert np.isnan(cleared[0][1]).all()


def test_recurrent_scan_and_its_gradients_equal_the_plain_scan():
    keys = jax.random.split(jax.random.key(0), 7)
    x = {name: jax.random.normal(k, (11, 3, 4)) for name, k in zip("ab", keys, strict=False)}
    weight, bias = jax.random.normal(keys[2], (4, 4)), jax.random.normal(keys[3], (4,))
    c, h = jax.random.normal(keys[4], (3, 4)), jax.random.normal(keys[5], (3, 4))
    reset = jax.random.bernoulli(keys[6], 0.3, (11, 3))

    def fast(weight, bias, c, h, x):
        (c, h), y = recurrent_scan(gates, weight, bias, c, h, x, reset)
        return (y**2).sum() + (c * h).sum()

    def slow(weight, bias, c, h, x):
        def cell(carry, x_t):
            c, h = carry
            c, h = gates(c, x_t, h @ weight + bias[None], h)
            return (c, h), h

        zero = jnp.zeros_like(h)
        (c, h), y = cell_scan(cell, (c, h), (zero, zero), x, reset)
        return (y**2).sum() + (c * h).sum()

    ours, theirs = (
        jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2, 3, 4)))(weight, bias, c, h, x)
        for f in (fast, slow)
    )
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)
