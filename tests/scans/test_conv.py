"""The causal convolution against a loop over time, its steps and its splits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.scans.conv import causal_conv, conv_step

BATCH, CHANNELS = 3, 2


def data(length, kernel, rate=0.3, seed=0):
    keys = jax.random.split(jax.random.key(seed), 4)
    x = jax.random.normal(keys[0], (length, BATCH, CHANNELS))
    weight = jax.random.normal(keys[1], (kernel, CHANNELS))
    window = jax.random.normal(keys[2], (BATCH, kernel - 1, CHANNELS))
    return x, weight, window, jax.random.bernoulli(keys[3], rate, (length, BATCH))


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
    window, y = causal_conv(*args)
    expected = twin(*args)
    np.testing.assert_allclose(y, expected[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(window, expected[0], rtol=1e-6)


@pytest.mark.parametrize("kernel", [1, 2, 4])
def test_steps_equal_the_sequence(kernel):
    x, weight, window, reset = data(8, kernel)
    carry, out = window, []
    for t in range(8):
        carry, y = conv_step(x[t], weight, carry, reset[t])
        out.append(y)
    last, expected = causal_conv(x, weight, window, reset)
    np.testing.assert_allclose(jnp.stack(out), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(carry, last)


def test_an_empty_sequence_keeps_the_window():
    x, weight, window, reset = data(0, 4)
    last, y = causal_conv(x, weight, window, reset)
    np.testing.assert_array_equal(last, window)
    assert y.shape == x.shape


def test_nan_before_a_reset_stays_there_and_so_do_gradients():
    x, weight, window, _ = data(6, 4)
    reset = jnp.zeros((6, BATCH), bool).at[3].set(True)

    def after(x, window):
        return causal_conv(x, weight, window, reset)[1][3:].sum()

    assert np.isfinite(after(x.at[:3].set(np.nan), window * np.nan))
    by_x, by_window = jax.grad(after, argnums=(0, 1))(x, window)
    assert (by_x[:3] == 0).all()
    assert (by_window == 0).all()


def test_a_window_of_another_size():
    x, weight, window, reset = data(4, 4)
    with pytest.raises(ValueError, match=r"need a window \(3, 3, 2\), got \(3, 2, 2\)"):
        causal_conv(x, weight, window[:, 1:], reset)
