"""The softmax scan against a list of everything that was seen."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.scans.softmax import METHODS, Softmax, compose, empty, softmax_scan, softmax_step
from tests.draws import Draws

BATCH, HEADS, WIDTH = 3, 2, 4
every_method = pytest.mark.parametrize("method", METHODS)
# "auto" is always one of the others, and the first test alone runs it.
methods = pytest.mark.parametrize("method", METHODS[1:])
one_step = jax.jit(softmax_step)


@lru_cache
def jitted(method):
    return jax.jit(lambda *args: softmax_scan(*args, method=method))


def data(length, spread=1.0, rate=0.2, seed=0):
    draws = Draws(seed)
    decay = np.float32(0.3) * draws.log_decay(length, BATCH, HEADS)  # so that the past counts
    score = draws.normal(length, BATCH, HEADS, scale=spread)
    value = draws.normal(length, BATCH, HEADS, WIDTH)
    m = draws.normal(BATCH, HEADS, scale=spread)
    u = np.exp(0.5 * draws.normal(BATCH, HEADS))
    w = draws.normal(BATCH, HEADS, WIDTH)
    return decay, score, value, Softmax(m, u, w), draws.happens(rate, length, BATCH)


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
    _, mean = jitted(method)(*args)
    np.testing.assert_allclose(mean, twin(*args), rtol=2e-4, atol=2e-5)


@methods
def test_steps_equal_the_sequence(method):
    decay, score, value, carry, reset = data(9, 5.0)
    last, mean = jitted(method)(decay, score, value, carry, reset)
    mean = np.asarray(mean)
    for t in range(9):
        carry, y = one_step(decay[t], score[t], value[t], carry, reset[t])
        np.testing.assert_allclose(mean[t], y, rtol=1e-4, atol=1e-5)
    for a, b in zip(last, carry, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@methods
def test_without_decay_it_is_the_softmax(method):
    _, score, value, _, _ = data(8, 3.0)
    never = np.zeros((8, BATCH), bool)
    carry = empty(BATCH, HEADS, WIDTH, "float32")
    _, mean = jitted(method)(None, score, value, carry, never)
    weight = np.exp(score - score.max(0))
    expected = np.einsum("tbh,tbhd->bhd", weight / weight.sum(0), value)
    np.testing.assert_allclose(np.asarray(mean)[-1], expected, rtol=1e-5, atol=1e-6)


def gradients(scanned, direct, *args):
    """Of both functions by all of their arguments, in one program."""
    every = tuple(range(len(args)))
    return jax.jit(lambda *a: [jax.grad(f, every)(*a) for f in (scanned, direct)])(*args)


@methods
def test_gradients_are_those_of_the_softmax(method):
    _, score, value, _, _ = data(8, 3.0)
    never = np.zeros((8, BATCH), bool)
    carry = empty(BATCH, HEADS, WIDTH, "float32")

    def scanned(score, value):
        return (softmax_scan(None, score, value, carry, never, method=method)[1][-1] ** 2).sum()

    def direct(score, value):
        return (jnp.einsum("tbh,tbhd->bhd", jax.nn.softmax(score, axis=0), value) ** 2).sum()

    ours, theirs = gradients(scanned, direct, score, value)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@methods
def test_gradients_with_decay_are_those_of_the_softmax(method):
    """A past that gives the maximum makes the decay count in full."""
    decay, score, value, _, _ = data(8, 3.0)
    never = np.zeros((8, BATCH), bool)
    carry = empty(BATCH, HEADS, WIDTH, "float32")

    def scanned(decay, score, value):
        return (softmax_scan(decay, score, value, carry, never, method=method)[1][-1] ** 2).sum()

    def direct(decay, score, value):
        total = jnp.cumsum(decay, axis=0)
        weight = jax.nn.softmax(score + total[-1:] - total, axis=0)
        return (jnp.einsum("tbh,tbhd->bhd", weight, value) ** 2).sum()

    ours, theirs = gradients(scanned, direct, decay, score, value)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_operator_of_maxima_is_associative():
    decay, score, *_ = data(3, 20.0)
    a, b, c = ((decay[i], score[i]) for i in range(3))
    left, right = jax.jit(lambda a, b, c: (compose(compose(a, b), c), compose(a, compose(b, c))))(
        a, b, c
    )
    for x, y in zip(left, right, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
