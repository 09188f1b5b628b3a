"""The scan of pairs against the complex one, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.scans.affine import METHODS, affine_scan
from rlseq.scans.rotation import rotate, rotation_scan, to_complex, to_pairs


def inputs(length=40, batch=3, states=4):
    keys = jax.random.split(jax.random.key(0), 5)
    real, imag = 0.5 * jax.random.normal(keys[0], (2, states))
    drive = jax.random.normal(keys[1], (length, batch, 2, states))
    carry = jax.random.normal(keys[2], (batch, 2, states))
    reset = jax.random.bernoulli(keys[3], 0.2, (length, batch))
    return real, imag, drive, carry, reset, jax.random.normal(keys[4], drive.shape)


@pytest.mark.parametrize("method", METHODS)
def test_values_and_gradients_equal_the_complex_scan(method):
    *args, reset, mix = inputs()

    def pairs(real, imag, drive, carry):
        last, states = rotation_scan(real, imag, drive, carry, reset, method=method)
        return (states * mix).sum() + (last**2).sum(), states

    def complexes(real, imag, drive, carry):
        decay = jax.lax.complex(real, imag)
        last, states = affine_scan(decay, to_complex(drive), to_complex(carry), reset)
        states = to_pairs(states)
        return (states * mix).sum() + (to_pairs(last) ** 2).sum(), states

    ours, theirs = (
        jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2, 3), has_aux=True))(*args)
        for f in (pairs, complexes)
    )
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)


def test_rotate_is_complex_multiplication():
    real, imag, _, h, *_ = inputs()
    product = jax.lax.complex(real, imag)[None] * to_complex(h)
    np.testing.assert_allclose(to_complex(rotate(real, imag, h)), product, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_broken_drive_or_gradient_passes_a_reset(bad):
    real, imag, drive, carry, reset, _ = inputs()
    reset = jnp.zeros_like(reset).at[20].set(True)

    def after(drive):
        return rotation_scan(real, imag, drive, carry, reset, method="sequential")[1][20:].sum()

    gradient = jax.grad(after)(drive.at[3].set(bad))
    assert np.isfinite(after(drive.at[3].set(bad)))
    assert (np.asarray(gradient[:20]) == 0).all()
