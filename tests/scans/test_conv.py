"""The causal convolution against a loop over time, its steps and its splits."""

import jax
import numpy as np
import pytest

from rlseq.scans.conv import causal_conv, conv_step
from tests.draws import Draws

BATCH, CHANNELS = 3, 2
convolved, one_step = jax.jit(causal_conv), jax.jit(conv_step)


def data(length, kernel, rate=0.3, seed=0):
    draws = Draws(seed)
    x = draws.normal(length, BATCH, CHANNELS)
    weight = draws.normal(kernel, CHANNELS)
    window = draws.normal(BATCH, kernel - 1, CHANNELS)
    return x, weight, window, draws.happens(rate, length, BATCH)


def twin(x, weight, window, reset):
    """One row and one time at a time; the window is a list that a reset empties."""
    x, weight, window, reset = map(np.asarray, (x, weight, window, reset))
    kernel = len(weight)
    y, last = np.zeros(x.shape), np.zeros(window.shape)
    for b in range(x.shape[1]):
        past = list(window[b])
        for t in range(len(x)):
            past = [np.zeros(x.shape[2])] * (kernel - 1) if reset[t, b] else past
            past = [*past, x[t, b]]
            y[t, b] = sum(weight[j] * past[-1 - j] for j in range(kernel))
            past = past[1:]
        last[b] = np.reshape(past, last[b].shape)
    return last, y


@pytest.mark.parametrize("kernel", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 2, 9])
@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_equals_a_loop(kernel, length, rate):
    args = data(length, kernel, rate)
    window, y = convolved(*args)
    expected = twin(*args)
    np.testing.assert_allclose(y, expected[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(window, expected[0], rtol=1e-6)


@pytest.mark.parametrize("kernel", [1, 2, 4])
def test_steps_equal_the_sequence(kernel):
    x, weight, window, reset = data(9, kernel)
    carry, out = window, []
    for t in range(9):
        carry, y = one_step(x[t], weight, carry, reset[t])
        out.append(y)
    last, expected = convolved(x, weight, window, reset)
    np.testing.assert_allclose(np.stack(out), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(carry, last)


def test_an_empty_sequence_keeps_the_window():
    x, weight, window, reset = data(0, 4)
    last, y = convolved(x, weight, window, reset)
    np.testing.assert_array_equal(last, window)
    assert y.shape == x.shape


def test_nan_before_a_reset_stays_there_and_so_do_gradients():
    x, weight, window, _ = data(6, 4)
    reset = np.repeat(np.arange(6) == 3, BATCH).reshape(6, BATCH)
    broken = np.where(np.arange(6)[:, None, None] < 3, np.float32(np.nan), x)

    def after(x, window):
        return causal_conv(x, weight, window, reset)[1][3:].sum()

    run = jax.jit(jax.value_and_grad(after, argnums=(0, 1)))
    assert np.isfinite(run(broken, np.full_like(window, np.nan))[0])
    by_x, by_window = jax.device_get(run(x, window)[1])
    assert (by_x[:3] == 0).all()
    assert (by_window == 0).all()


def test_a_window_of_another_size():
    x, weight, window, reset = data(4, 4)
    with pytest.raises(ValueError, match=r"need a window \(3, 3, 2\), got \(3, 2, 2\)"):
        causal_conv(x, weight, window[:, 1:], reset)
