"""The softmax scan against a list of everything that was seen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.scans.softmax import METHODS, Softmax, compose, empty, softmax_scan, softmax_step

BATCH, HEADS, WIDTH = 3, 2, 4
every_method = pytest.mark.parametrize("method", METHODS)


def data(length, spread=1.0, rate=0.2, seed=0):
    keys = jax.random.split(jax.random.key(seed), 7)
    decay = -jax.random.exponential(keys[0], (length, BATCH, HEADS)) * 0.3
    score = jax.random.normal(keys[1], (length, BATCH, HEADS)) * spread
    value = jax.random.normal(keys[2], (length, BATCH, HEADS, WIDTH))
    m = jax.random.normal(keys[3], (BATCH, HEADS)) * spread
    u = jax.random.uniform(keys[4], (BATCH, HEADS), minval=0.5, maxval=3.0)
    w = jax.random.normal(keys[5], (BATCH, HEADS, WIDTH))
    reset = jax.random.bernoulli(keys[6], rate, (length, BATCH))
    return decay, score, value, Softmax(m, u, w), reset


def twin(decay, score, value, carry, reset):
    """float64; every value of the episode with its log-weight, in a list."""
    decay, score, value, reset = (np.asarray(a, np.float64) for a in (decay, score, value, reset))
    m, u, w = (np.asarray(leaf, np.float64) for leaf in carry)
    out = np.zeros(value.shape)
    for b in range(score.shape[1]):
        for h in range(score.shape[2]):
            past = [(m[b, h] + np.log(u[b, h]), w[b, h] / u[b, h])]
            for t in range(len(score)):
                past = [] if reset[t, b] else [(s + decay[t, b, h], v) for s, v in past]
                past.append((score[t, b, h], value[t, b, h]))
                s = np.array([entry[0] for entry in past])
                weight = np.exp(s - s.max())
                out[t, b, h] = weight @ np.stack([entry[1] for entry in past]) / weight.sum()
    return out


@every_method
@pytest.mark.parametrize("spread", [1.0, 20.0, 1e4])
@pytest.mark.parametrize("length", [1, 2, 37])
def test_equals_a_list_of_the_past(method, spread, length):
    args = data(length, spread)
    _, mean = softmax_scan(*args, method=method)
    np.testing.assert_allclose(mean, twin(*args), rtol=2e-4, atol=2e-5)


@every_method
def test_steps_equal_the_sequence(method):
    decay, score, value, carry, reset = data(9, 5.0)
    last, mean = softmax_scan(decay, score, value, carry, reset, method=method)
    for t in range(9):
        carry, y = softmax_step(decay[t], score[t], value[t], carry, reset[t])
        np.testing.assert_allclose(mean[t], y, rtol=1e-4, atol=1e-5)
    for a, b in zip(last, carry, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@every_method
def test_without_decay_it_is_the_softmax(method):
    _, score, value, _, _ = data(8, 3.0)
    never = jnp.zeros((8, BATCH), bool)
    carry = empty(BATCH, HEADS, WIDTH, "float32")
    _, mean = softmax_scan(None, score, value, carry, never, method=method)
    expected = jnp.einsum("tbh,tbhd->bhd", jax.nn.softmax(score, axis=0), value)
    np.testing.assert_allclose(mean[-1], expected, rtol=1e-5, atol=1e-6)


@every_method
def test_gradients_are_those_of_the_softmax(method):
    _, score, value, _, _ = data(8, 3.0)
    never = jnp.zeros((8, BATCH), bool)
    carry = empty(BATCH, HEADS, WIDTH, "float32")

    def scanned(score, value):
        return (softmax_scan(None, score, value, carry, never, method=method)[1][-1] ** 2).sum()

    def direct(score, value):
        return (jnp.einsum("tbh,tbhd->bhd", jax.nn.softmax(score, axis=0), value) ** 2).sum()

    ours = jax.grad(scanned, argnums=(0, 1))(score, value)
    theirs = jax.grad(direct, argnums=(0, 1))(score, value)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@every_method
def test_gradients_with_decay_are_those_of_the_softmax(method):
    """A past that gives the maximum makes the decay count in full."""
    decay, score, value, _, _ = data(8, 3.0)
    never = jnp.zeros((8, BATCH), bool)
    carry = empty(BATCH, HEADS, WIDTH, "float32")

    def scanned(decay, score, value):
        return (softmax_scan(decay, score, value, carry, never, method=method)[1][-1] ** 2).sum()

    def direct(decay, score, value):
        total = jnp.cumsum(decay, axis=0)
        weight = jax.nn.softmax(score + total[-1:] - total, axis=0)
        return (jnp.einsum("tbh,tbhd->bhd", weight, value) ** 2).sum()

    ours = jax.grad(scanned, argnums=(0, 1, 2))(decay, score, value)
    theirs = jax.grad(direct, argnums=(0, 1, 2))(decay, score, value)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_operator_of_maxima_is_associative():
    decay, score, *_ = data(3, 20.0)
    a, b, c = ((decay[i], score[i]) for i in range(3))
    left, right = compose(compose(a, b), c), compose(a, compose(b, c))
    for x, y in zip(left, right, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
