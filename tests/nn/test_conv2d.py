"""Convolutions against loops over taps, their hand-written gradients against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.nn import conv2d as ours

# Kernel, stride, outputs: few of them and a wide kernel of stride 1 go through cells.
SHAPES = [(5, 1, 2), (6, 1, 2), (7, 1, 3), (5, 1, 6), (5, 2, 2), (3, 1, 2), (3, 2, 2), (4, 2, 2)]


def arrays(size, *, channels=3, width=2, sides=(4, 6)):
    keys = jax.random.split(jax.random.key(size), 2)
    x = jax.random.normal(keys[0], (3, *sides, channels))
    return x, jax.random.normal(keys[1], (size, size, channels, width))


def slow_conv(x, kernel, stride):
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    n, high, wide, _ = x.shape
    size, before = kernel.shape[0], kernel.shape[0] // 2
    y = np.zeros((n, high // stride, wide // stride, kernel.shape[-1]))
    for i, j, a, b in np.ndindex(y.shape[1], y.shape[2], size, size):
        row, column = stride * i + a - before, stride * j + b - before
        if 0 <= row < high and 0 <= column < wide:
            y[:, i, j] += x[:, row, column] @ kernel[a, b]
    return y


def slow_transposed(x, kernel):
    """Every input adds its taps to twice the places: the adjoint of `slow_conv` with stride 2."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    n, high, wide, _ = x.shape
    size, before = kernel.shape[0], kernel.shape[0] // 2
    y = np.zeros((n, 2 * high, 2 * wide, kernel.shape[-1]))
    for i, j, a, b in np.ndindex(high, wide, size, size):
        row, column = 2 * i + a - before, 2 * j + b - before
        if 0 <= row < 2 * high and 0 <= column < 2 * wide:
            y[:, row, column] += x[:, i, j] @ kernel[a, b]
    return y


@pytest.mark.parametrize(("size", "stride", "width"), SHAPES)
def test_conv2d_and_its_gradients(size, stride, width):
    x, kernel = arrays(size, width=width)
    y = ours.conv2d(x, kernel, stride)
    np.testing.assert_allclose(y, slow_conv(x, kernel, stride), rtol=1e-4, atol=1e-5)
    g = jnp.sin(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
    got = jax.vjp(lambda *args: ours.conv2d(*args, stride), x, kernel)[1](g)
    wanted = jax.vjp(lambda *args: ours._conv(*args, stride), x, kernel)[1](g)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_few_outputs_of_odd_sides():
    x, kernel = arrays(5, sides=(3, 6))
    np.testing.assert_allclose(
        ours.conv2d(x, kernel), slow_conv(x, kernel, 1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("size", [3, 4, 5])
def test_conv2d_transposed_and_its_gradients(size, monkeypatch):
    x, kernel = arrays(size)
    y, pull = jax.vjp(ours.conv2d_transposed, x, kernel)
    np.testing.assert_allclose(y, slow_transposed(x, kernel), rtol=1e-4, atol=1e-5)
    g = jnp.sin(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)
    monkeypatch.setattr(ours, "_on_cpu", lambda: False)  # as on accelerators
    other, other_pull = jax.vjp(ours.conv2d_transposed, x, kernel)
    np.testing.assert_allclose(y, other, rtol=1e-4, atol=1e-5)
    for a, b in zip(pull(g), other_pull(g), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_groups_of_images_change_nothing(monkeypatch):
    x, kernel = arrays(5)
    whole = jax.grad(lambda kernel: jnp.square(ours.conv2d(x, kernel, 2)).sum())(kernel)
    monkeypatch.setattr(ours, "PLACES", 1)
    alone = jax.grad(lambda kernel: jnp.square(ours.conv2d(x, kernel, 2)).sum())(kernel)
    np.testing.assert_allclose(alone, whole, rtol=1e-4, atol=1e-4)
