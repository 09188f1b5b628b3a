"""The convolution of chunks against the complex scan, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.scans.affine import affine_scan
from rlseq.scans.kernel import kernel_scan
from rlseq.scans.rotation import to_complex, to_pairs

BATCH, CHANNELS, STATES = 3, 4, 5


def inputs(length: int, resets: float = 0.1):
    rng = np.random.default_rng(length)
    shape = (CHANNELS, STATES)
    z = -rng.uniform(0.001, 0.5, shape) + 1j * rng.uniform(-3, 3, shape)
    factor, c = rng.normal(size=(2, *shape)) + 1j * rng.normal(size=(2, *shape))
    x = rng.normal(size=(length, BATCH, CHANNELS))
    carry = rng.normal(size=(BATCH, 2, CHANNELS * STATES))
    weights = tuple(value.astype(np.complex64) for value in (z, factor, c))
    reset = rng.random((length, BATCH)) < resets
    return weights, x.astype(np.float32), carry.astype(np.float32), reset


def twin(z, factor, c, x, carry, reset):
    """All states of all channels, by the scan of the linear cores."""
    drive = (x[..., None] * factor[None, None]).reshape(*x.shape[:2], -1)
    last, states = affine_scan(jnp.exp(z).ravel(), drive, to_complex(carry), reset)
    read = c[None, None] * states.reshape(*x.shape[:2], *z.shape)
    return to_pairs(last), 2 * read.real.sum(-1)


def loss(scan, weights, x, carry, reset):
    last, y = scan(*weights, x, carry, reset)
    mix = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    return (y * mix).sum() + jnp.square(last).sum(), (last, y)


value_and_gradients = jax.jit(
    jax.value_and_grad(loss, argnums=(1, 2, 3), has_aux=True), static_argnums=0
)


@pytest.mark.parametrize("resets", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("length", [1, 32, 75])  # one step, one chunk, two and a rest
def test_values_and_gradients_equal_the_scan_of_all_states(length, resets):
    args = inputs(length, resets)
    with jax.numpy_dtype_promotion("standard"):
        theirs = value_and_gradients(twin, *args)
    ours = value_and_gradients(kernel_scan, *args)
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())


def test_no_steps_leave_the_carry_as_it_is():
    weights, x, carry, reset = inputs(0)
    last, y = kernel_scan(*weights, x, carry, reset)
    np.testing.assert_array_equal(last, carry)
    assert y.shape == (0, BATCH, CHANNELS)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_broken_step_stays_in_its_episode(bad):
    weights, x, carry, _ = inputs(40)
    reset = np.zeros((40, BATCH), bool)
    reset[20] = True

    def after(x):
        return kernel_scan(*weights, x, carry, reset)[1][20:].sum()

    broken = x.copy()
    broken[3, 1] = bad
    value, gradient = jax.jit(jax.value_and_grad(after))(broken)
    np.testing.assert_allclose(value, after(x), rtol=1e-5)
    assert (np.asarray(gradient[:20]) == 0).all()
    seen = np.asarray(kernel_scan(*weights, broken, carry, reset)[1])
    assert np.isnan(seen[3:20, 1]).all()
    assert np.isfinite(seen[:3]).all()
    assert np.isfinite(seen[:, [0, 2]]).all()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"reset": np.zeros((8, BATCH), np.float32)}, "reset must be bool"),
        ({"x": np.zeros((8, BATCH, 3), np.float32)}, "z must have the 3 channels of x"),
        ({"carry": np.zeros((BATCH, 2, 3), np.float32)}, r"carry must be \(3, 2, 20\)"),
        ({"carry": np.zeros((BATCH, 2, 20), np.float16)}, "dtypes differ"),
    ],
)
def test_what_does_not_fit_together(change, match):
    weights, x, carry, reset = inputs(8)
    with pytest.raises(ValueError, match=match):
        kernel_scan(*weights, **({"x": x, "carry": carry, "reset": reset} | change))
