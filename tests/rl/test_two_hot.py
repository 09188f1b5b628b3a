"""Symlog two-hot against loops over the bins in NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.rl.two_hot import symexp, symlog, two_hot, two_hot_loss, two_hot_mean

VALUES = [0.0, 1.0, -1.0, 0.37, -12.5, 1e4, -3e7, 4.8e8]


def slow_two_hot(x: float, bins: int, limit: float) -> np.ndarray:
    """Weights by search: the two bins around symlog(x), each weighed by the other's distance."""
    edges = [-limit + 2 * limit * i / (bins - 1) for i in range(bins)]
    x = math.copysign(math.log(1 + abs(x)), x)
    weights = np.zeros(bins)
    if x <= edges[0] or x >= edges[-1]:
        weights[0 if x <= edges[0] else -1] = 1
        return weights
    above = next(i for i in range(bins) if edges[i] > x)
    width = edges[above] - edges[above - 1]
    weights[above - 1] = (edges[above] - x) / width
    weights[above] = (x - edges[above - 1]) / width
    return weights


@pytest.mark.parametrize(("bins", "limit"), [(255, 20.0), (4, 3.0)])
def test_two_hot(bins, limit):
    x = jnp.asarray([VALUES, [9e9, -9e9, *VALUES[2:]]])
    got = two_hot(x, bins, limit)
    assert got.shape == (*x.shape, bins) and got.dtype == jnp.float32
    for place in np.ndindex(x.shape):
        wanted = slow_two_hot(float(x[place]), bins, limit)
        np.testing.assert_allclose(got[place], wanted, atol=2e-5)
    np.testing.assert_allclose(got.sum(-1), 1, rtol=1e-5)


def test_the_mean_undoes_two_hot():
    x = jnp.asarray(VALUES)
    mean = two_hot_mean(jnp.log(two_hot(x) + 1e-30))
    np.testing.assert_allclose(mean, x, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(symexp(symlog(x)), x, rtol=1e-5)


def test_equal_logits_mean_zero():
    assert (two_hot_mean(jnp.full((3, 255), 0.7)) == 0).all()


def test_loss_and_mean_against_loops():
    logits = jax.random.normal(jax.random.key(0), (len(VALUES), 255))
    loss = two_hot_loss(logits, jnp.asarray(VALUES))
    mean = two_hot_mean(logits)
    for i, x in enumerate(VALUES):
        row = np.asarray(logits[i], np.float64)
        p = np.exp(row) / np.exp(row).sum()
        np.testing.assert_allclose(loss[i], -(slow_two_hot(x, 255, 20) * np.log(p)).sum(), 1e-4)
        centre = sum(p[j] * (-20 + 40 * j / 254) for j in range(255))
        np.testing.assert_allclose(mean[i], np.sign(centre) * np.expm1(abs(centre)), 1e-4)


def test_gradient_is_softmax_minus_target():
    logits = jax.random.normal(jax.random.key(1), (255,))
    x = jnp.asarray(3.5)
    gradient = jax.grad(lambda row: two_hot_loss(row, x))(logits)
    np.testing.assert_allclose(gradient, jax.nn.softmax(logits) - two_hot(x), atol=1e-6)
