"""Newton scans against a NumPy loop, against autodiff, and where they do not converge."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.errors import InputError
from rlseq.scans.newton import METHODS, newton_scan
from tests.draws import Draws

methods = pytest.mark.parametrize("method", METHODS[1:])
sizes = pytest.mark.parametrize("size", [1, 3])
SMALL, LARGE = 0.5, 30.0  # recurrent weights with which Newton's method ends early, or never


def cell(weights, x, h):
    """A gate from the next number of the unit, so that the blocks are not diagonal."""
    gate = jax.nn.sigmoid(x + weights[1][None] * jnp.roll(h, 1, axis=-2))
    return gate * h + (1 - gate) * jnp.tanh(weights[0][None] * h + x)


def loop(weights, x, h, reset):
    """The recurrence, a step at a time, in double precision."""
    weights, x, h, reset = (np.asarray(a, np.float64) for a in (weights, x, h, reset))
    out = []
    for x_t, r in zip(x, reset, strict=True):
        h = np.where(r[:, None, None], 0, h)
        gate = 1 / (1 + np.exp(-x_t - weights[1] * np.roll(h, 1, axis=-2)))
        h = gate * h + (1 - gate) * np.tanh(weights[0] * h + x_t)
        out.append(h)
    return np.stack(out)


def plain(weights, x, h, reset):
    """The same as an ordinary lax.scan that autodiff sees through."""

    def body(h, inputs):
        x_t, r = inputs
        h = cell(weights, x_t, jnp.where(r[:, None, None], 0, h))
        return h, h

    return jax.lax.scan(body, h, (x, reset))


def inputs(length, size=2, scale=SMALL, rate=0.1):
    draws = Draws(size)
    weights = draws.normal(2, size, 4, scale=scale)
    x = draws.normal(length, 3, size, 4)
    carry = draws.normal(3, size, 4, scale=0.5)
    return weights, x, carry, draws.happens(rate, length, 3)


@lru_cache
def jitted(method, **options):
    return jax.jit(lambda *args: newton_scan(cell, *args, method=method, **options))


@methods
@sizes
@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_equals_the_loop(method, size, rate):
    args = inputs(37, size, rate=rate)
    carry, states, metrics = jitted(method)(*args)
    np.testing.assert_allclose(states, loop(*args), rtol=1e-5, atol=5e-6)
    np.testing.assert_array_equal(carry, np.asarray(states)[-1])
    assert not metrics.fallback


@methods
@sizes
def test_gradients_equal_autodiff(method, size):
    weights, x, carry, reset = inputs(29, size)
    mix = Draws(5).normal(*x.shape)

    def gradients(run):
        def loss(weights, x, carry):
            last, states = run(weights, x, carry, reset)[:2]
            return (mix * states).sum() + last.sum()

        return jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(weights, x, carry)

    ours = gradients(lambda *a: newton_scan(cell, *a, method=method))
    for mine, other in zip(ours, gradients(plain), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


def test_it_stops_once_the_residual_is_below_the_tolerance():
    args = inputs(300, rate=0.0)
    tight, loose = (jitted("newton", tolerance=t)(*args) for t in (2e-6, 1e-2))
    assert 0 < loose[2].iterations < tight[2].iterations < 10
    for tolerance, (_, states, metrics) in zip((2e-6, 1e-2), (tight, loose), strict=True):
        assert metrics.residual <= tolerance
        np.testing.assert_allclose(states, loop(*args), atol=100 * tolerance)


def test_resets_never_cost_iterations():
    free, cut = (jitted("newton")(*inputs(300, rate=rate))[2].iterations for rate in (0.0, 0.5))
    assert cut <= free


@pytest.mark.parametrize(("scale", "cap"), [(SMALL, 1), (LARGE, 16)])
def test_where_it_does_not_converge_the_loop_takes_over(scale, cap):
    args = inputs(200, scale=scale, rate=0.0)
    _, states, metrics = jitted("newton", max_iterations=cap)(*args)
    assert metrics.fallback
    assert metrics.iterations == cap or not np.isfinite(metrics.residual)
    assert not metrics.residual < 1e-5
    np.testing.assert_array_equal(states, jitted("sequential")(*args)[1])


def test_a_single_row_that_fails_is_still_right():
    weights, x, carry, reset = inputs(20, rate=0.0)
    broken, reset[8] = x.copy(), True
    broken[3, 1] = np.nan
    _, states, metrics = jitted("newton")(weights, broken, carry, reset)
    states = np.asarray(states)
    expected = loop(weights, x, carry, reset)
    assert metrics.fallback
    np.testing.assert_allclose(states[8:], expected[8:], rtol=1e-5, atol=5e-6)
    np.testing.assert_allclose(states[:, ::2], expected[:, ::2], rtol=1e-5, atol=5e-6)


@methods
def test_an_empty_sequence_changes_nothing(method):
    weights, x, carry, reset = inputs(4)
    last, states, metrics = jitted(method)(weights, x[:0], carry, reset[:0])
    np.testing.assert_array_equal(last, carry)
    assert states.shape == (0, *carry.shape)
    assert metrics.iterations == 0


def test_bad_input():
    weights, x, carry, reset = inputs(4)
    with pytest.raises(ValueError, match="carry must be"):
        newton_scan(cell, weights, x, carry[0], reset)
    with pytest.raises(ValueError, match="reset bool"):
        newton_scan(cell, weights, x, carry, reset.astype("float32"))
    with pytest.raises(InputError, match="Did you mean 'newton'"):
        newton_scan(cell, weights, x, carry, reset, method="newtn")
