"""Sequential scans: the fast form for one recurrent matrix against the plain scan."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.cores.gru import gru_gates
from rlseq.cores.lstm import lstm_gates
from rlseq.scans.sequential import additive, cell_scan, clear, recurrent_product, recurrent_scan


def mixed_step(c, gates, h):
    c = jnp.tanh(c + gates) * jax.nn.sigmoid(gates)
    return c, h * 0.5 + c * gates


CELLS = {
    "additive": (additive(mixed_step), 1, lambda h: h),
    "gru": (gru_gates, 3, lambda h: ()),
    "lstm": (lstm_gates, 4, lambda h: h),
}


def test_clear_picks_rows_and_stops_nan():
    carry = (jnp.full((3, 2), jnp.nan), jnp.arange(3))
    cleared = clear(carry, (jnp.zeros((3, 2)), jnp.full(3, 9)), jnp.array([True, False, True]))
    np.testing.assert_array_equal(cleared[1], [9, 1, 9])
    assert np.isfinite(cleared[0][0]).all()
    assert np.isnan(cleared[0][1]).all()


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_recurrent_scan_and_its_gradients_equal_the_plain_scan(name, heads):
    gates, count, others_of = CELLS[name]
    shape = (4, 4 * count) if heads == 1 else (heads, 2, count, 2)
    sizes = ((11, 3, 4 * count), shape, (4 * count,), (3, 4), (3, 4))
    draws = np.random.default_rng(0)
    x, weight, bias, c, h = (jnp.asarray(draws.normal(size=s), jnp.float32) for s in sizes)
    reset = jnp.asarray(draws.random((11, 3)) < 0.3)

    def loss(weight, bias, c, h, x, scan):
        (c, h), y = scan(weight, bias, others_of(c), h, x, reset)
        return (y**2).sum() + sum((leaf * h).sum() for leaf in jax.tree.leaves(c))

    def slow(weight, bias, others, h, x, reset):
        def cell(carry, x_t):
            others, h = carry
            carry = gates(others, x_t, recurrent_product(h, weight, bias), h)
            return carry, carry[1]

        zero = jax.tree.map(jnp.zeros_like, (others, h))
        return cell_scan(cell, (others, h), zero, x, reset)

    ours, theirs = (
        jax.jit(jax.value_and_grad(partial(loss, scan=scan), argnums=(0, 1, 2, 3, 4)))(
            weight, bias, c, h, x
        )
        for scan in (partial(recurrent_scan, gates), slow)
    )
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)
