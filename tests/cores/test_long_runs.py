"""A million steps with one carry, and projections in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.cores import core_options
from rlseq.laws.core_cases import BATCH, assert_close, case

BFLOAT16 = [name for name in rlseq.core_names() if "matmul_dtype" in core_options(name)]
OPTIMISE = True  # see conftest.py
BANK, ROUNDS = 1000, 1000  # a million steps, over the same thousand inputs again and again


@pytest.mark.slow
@pytest.mark.parametrize("name", rlseq.core_names())
def test_a_carry_of_a_million_steps_is_finite_and_still_clears(name):
    """Folds `step`, one episode; its last thousand outputs stay in the range of the second."""
    c = case(name, BANK)
    none = jnp.zeros((BANK, BATCH), bool)

    def round_(carry, _):
        carry, y = c.fns.fold(c.params, carry, c.x, none)
        return carry, jnp.abs(y).max()

    carry, highest = jax.jit(lambda carry: jax.lax.scan(round_, carry, None, ROUNDS))(c.carry)
    for leaf in jax.tree.leaves(carry):
        assert np.isfinite(np.asarray(leaf)).all()
    assert np.isfinite(highest).all()
    assert highest[-1] < 2 * highest[1] + 1
    start = jnp.zeros((1, BATCH), bool)
    _, cleared = c.fns.scan(c.params, carry, c.x[:1], ~start)
    _, fresh = c.fns.scan(c.params, c.fns.init_carry(BATCH), c.x[:1], start)
    assert_close(cleared, fresh)


@pytest.mark.slow
@pytest.mark.parametrize("name", BFLOAT16)
def test_projections_in_bfloat16_stay_near_float32(name):
    c = case(name, 40, reset_rate=0.05)
    short = case(name, 40, reset_rate=0.05, matmul_dtype="bfloat16").fns
    _, y = c.fns.scan(c.params, *c[2:])
    carry, rounded = short.scan(c.params, *c[2:])
    assert rounded.dtype == np.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(carry)} == {np.dtype("float32")}
    error, scale = np.abs(rounded - y), np.abs(y).max()
    assert 0 < error.max() < 0.05 * scale
    assert error.mean() < 0.01 * scale
    # Both round the same factors, but for those that lie between two numbers of bfloat16.
    _, stepped = short.fold(c.params, *c[2:])
    np.testing.assert_allclose(rounded, stepped, atol=0.002 * scale)
    mix = jax.random.normal(jax.random.key(9), y.shape)
    for one, other in zip(
        jax.tree.leaves(short.scan_gradients(*c[1:], mix, 0.3)[0]),
        jax.tree.leaves(short.fold_gradients(*c[1:], mix, 0.3)[0]),
        strict=True,
    ):
        atol = 0.002 * max(1.0, np.abs(np.asarray(other)).max())
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)
