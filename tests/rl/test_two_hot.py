"""Two-hot regression against loops over the bins in NumPy, and the means it must come to."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlseq.rl.two_hot import FORMS, symexp, symlog, two_hot, two_hot_loss, two_hot_mean

VALUES = [0.0, 1.0, -1.0, 0.37, -12.5, 1e4, -3e7, 4.8e8]


def squashed(x: float) -> float:
    return math.copysign(math.log(1 + abs(x)), x)


def spread(x: float) -> float:
    return math.copysign(math.expm1(abs(x)), x)


def slow_bins(bins: int, limit: float, form: str) -> list[float]:
    """What the mean of a form is taken over."""
    edges = [-limit + 2 * limit * i / (bins - 1) for i in range(bins)]
    return [spread(edge) for edge in edges] if form == "symexp" else edges


def slow_two_hot(x: float, bins: int, limit: float, form: str) -> np.ndarray:
    """Weights by search: the two bins around x, each weighed by the other's distance."""
    edges = slow_bins(bins, limit, form)
    x = x if form == "symexp" else squashed(x)
    weights = np.zeros(bins)
    if x <= edges[0] or x >= edges[-1]:
        weights[0 if x <= edges[0] else -1] = 1
        return weights
    above = next(i for i in range(bins) if edges[i] > x)
    width = edges[above] - edges[above - 1]
    weights[above - 1] = (edges[above] - x) / width
    weights[above] = (x - edges[above - 1]) / width
    return weights


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("bins", "limit"), [(255, 20.0), (4, 3.0)])
def test_two_hot(bins, limit, form):
    x = jnp.asarray([VALUES, [9e9, -9e9, *VALUES[2:]]])
    got = two_hot(x, bins, limit, form)
    assert got.shape == (*x.shape, bins) and got.dtype == jnp.float32
    for place in np.ndindex(x.shape):
        wanted = slow_two_hot(float(x[place]), bins, limit, form)
        np.testing.assert_allclose(got[place], wanted, atol=2e-5)
    np.testing.assert_allclose(got.sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_the_mean_undoes_two_hot(form):
    x = jnp.asarray(VALUES)
    mean = two_hot_mean(jnp.log(two_hot(x, form=form) + 1e-30), form=form)
    np.testing.assert_allclose(mean, x, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(symexp(symlog(x)), x, rtol=1e-5)


def optimum(outcomes, probabilities, form):
    """What the cross entropy of such outcomes makes of the logits."""
    shares = two_hot(jnp.asarray(outcomes, jnp.float32), form=form)
    weights = jnp.asarray(probabilities, jnp.float32)[:, None] * shares
    return jnp.log(weights.sum(0) + 1e-30)


@pytest.mark.parametrize(
    ("outcomes", "probabilities", "drama"),
    [
        ((0, 100), (0.9, 0.1), 0.587),
        ((0, 1000), (0.98, 0.02), 0.148),
        ((100, 1000), (0.5, 0.5), 317),
        ((0, -10, 1), (0.94, 0.01, 0.05), 0.0107),
        ((0, 1), (0.95, 0.05), 0.0353),
    ],
)
def test_the_mean_at_the_optimum_is_that_of_the_outcomes(outcomes, probabilities, drama):
    mean = {form: two_hot_mean(optimum(outcomes, probabilities, form), form=form) for form in FORMS}
    wanted = sum(p * x for p, x in zip(probabilities, outcomes, strict=True))
    np.testing.assert_allclose(mean["symexp"], wanted, rtol=1e-4)
    np.testing.assert_allclose(mean["symlog"], drama, rtol=5e-3)


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6, width=32), st.floats(0.01, 1)), min_size=1, max_size=8)
)
@settings(max_examples=30, deadline=None)
def test_the_mean_at_the_optimum_is_that_of_any_outcomes(drawn):
    outcomes, weights = (np.float64(x) for x in zip(*drawn, strict=True))
    probabilities = weights / weights.sum()
    # As many rows for any number of outcomes, so that all compile once.
    padded = [np.pad(x, (0, 8 - len(x))) for x in (outcomes, probabilities)]
    wanted, scale = probabilities @ outcomes, np.abs(outcomes).max()
    got = two_hot_mean(optimum(*padded, "symexp"))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * scale + 1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_symmetric_logits_mean_exactly_zero(form):
    half = jax.random.normal(jax.random.key(0), (3, 127))
    mirrored = jnp.concatenate([half, jnp.ones((3, 1)), jnp.flip(half, -1)], axis=-1)
    for logits in (jnp.full((3, 255), 0.7), jnp.zeros((3, 254)), mirrored):
        assert (two_hot_mean(logits, form=form) == 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_loss_and_mean_against_loops(form):
    # The tails of the form "symexp" weigh 4.9e8: they are as small as after some training.
    fall = jnp.abs(jnp.linspace(-25.4, 25.4, 255))
    logits = jax.random.normal(jax.random.key(0), (len(VALUES), 255)) - fall[None]
    loss = two_hot_loss(logits, jnp.asarray(VALUES), form=form)
    mean = two_hot_mean(logits, form=form)
    centres = slow_bins(255, 20, form)
    for i, x in enumerate(VALUES):
        row = np.asarray(logits[i], np.float64)
        p = np.exp(row) / np.exp(row).sum()
        wanted = -(slow_two_hot(x, 255, 20, form) * np.log(p)).sum()
        np.testing.assert_allclose(loss[i], wanted, 1e-4)
        middle = p @ centres
        wanted = middle if form == "symexp" else spread(middle)
        np.testing.assert_allclose(mean[i], wanted, 1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_gradient_is_softmax_minus_target(form):
    logits = jax.random.normal(jax.random.key(1), (255,))
    x = jnp.asarray(3.5)
    gradient = jax.grad(lambda row: two_hot_loss(row, x, form=form))(logits)
    np.testing.assert_allclose(gradient, jax.nn.softmax(logits) - two_hot(x, form=form), atol=1e-6)
