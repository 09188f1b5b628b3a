"""Samples of sequences against softmaxes in NumPy."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.replay.samplers import (
    TEMPERATURE,
    model_scores,
    policy_scores,
    sample_without_replacement,
    temperature,
)

MODEL = np.array([0, 3, 40, 7, 12, 1])
POLICY = np.array([64, 0, 640, 900, 64, 0])
RATIO = 64.0
KEYS = jax.random.split(jax.random.key(0), 20_000)


def softmax(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum()


def sampled(scores, allowed, count):
    """Indices [20000, count]."""
    take = partial(
        sample_without_replacement,
        scores=jnp.asarray(scores),
        allowed=jnp.asarray(allowed),
        count=count,
    )
    return np.asarray(jax.jit(jax.vmap(take))(KEYS))


def paper_scores(alpha=1.0, beta=1.0):
    b = POLICY / RATIO
    return (MODEL - alpha * b - beta * np.maximum(0, MODEL - b)) / TEMPERATURE


def test_the_closed_form_is_the_papers():
    scores = policy_scores(jnp.asarray(MODEL), jnp.asarray(POLICY), RATIO, TEMPERATURE)
    np.testing.assert_allclose(scores, paper_scores(), atol=1e-6)
    np.testing.assert_allclose(model_scores(jnp.asarray(MODEL), 10.0), -MODEL / 10, rtol=1e-6)


@pytest.mark.parametrize("who", ["model", "policy"])
def test_one_sample_has_the_softmaxs_probabilities(who):
    scores = paper_scores() if who == "policy" else -MODEL / TEMPERATURE
    found = np.bincount(sampled(scores.astype(np.float32), np.ones(6, bool), 1)[:, 0], minlength=6)
    expected = softmax(scores)
    error = np.sqrt(expected * (1 - expected) / len(KEYS))
    assert (np.abs(found / len(KEYS) - expected) < 4.5 * error + 1e-4).all()


def test_samples_are_without_replacement_one_by_one():
    scores = (-MODEL / TEMPERATURE).astype(np.float32)
    allowed = np.array([1, 1, 0, 1, 1, 0], bool)
    pairs = sampled(scores, allowed, 2)
    assert (pairs[:, 0] < pairs[:, 1]).all() and allowed[pairs].all()
    p = softmax(np.where(allowed, scores, -np.inf))
    for a, b in itertools.combinations(np.flatnonzero(allowed), 2):
        expected = p[a] * p[b] / (1 - p[a]) + p[b] * p[a] / (1 - p[b])
        found = (pairs == [a, b]).all(axis=1).mean()
        assert abs(found - expected) < 4.5 * np.sqrt(expected * (1 - expected) / len(KEYS))


def test_huge_counts_do_not_underflow():
    counts = jnp.array([100_000, 100_003, 400_000], jnp.int32)
    indices = sampled(np.asarray(model_scores(counts, 10.0)), np.ones(3, bool), 1)[:, 0]
    share = np.bincount(indices, minlength=3) / len(KEYS)
    np.testing.assert_allclose(share, softmax(-np.asarray(counts) / 10.0), atol=0.02)


def test_too_few_allowed_starts_fill_up_with_an_allowed_one():
    indices = sampled(np.zeros(6, np.float32), np.array([0, 0, 1, 0, 1, 0], bool), 4)
    assert np.isin(indices, [2, 4]).all()
    assert all(set(row) == {2, 4} for row in indices[:50].tolist())


ROWS = 1600  # the shares do not depend on it


def newest_tenth(count, every):
    """Its share of `count` samples every so many steps, over the last fiftieth of ROWS steps."""
    hot = temperature(count / every)

    def body(state, key):
        counts, written = state
        allowed = jnp.arange(ROWS) < written
        scores = model_scores(counts, hot)
        p = jax.nn.softmax(jnp.where(allowed, scores, -jnp.inf))
        share = jnp.where(10 * jnp.arange(ROWS) >= 9 * written, p, 0).sum()
        starts = sample_without_replacement(key, scores, allowed, count)
        return (counts.at[starts].add(1), written + every), share

    first = (jnp.zeros(ROWS, jnp.int32), jnp.asarray(16, jnp.int32))
    keys = jax.random.split(jax.random.key(0), (ROWS - 16) // every)
    shares = jax.jit(lambda first, keys: jax.lax.scan(body, first, keys)[1])(first, keys)
    return float(shares[-max(ROWS // 50 // every, 1) :].mean())


@pytest.mark.parametrize(("count", "every"), [(16, 1), (4, 1), (1, 1), (8, 8), (3, 2)])
def test_at_any_rate_of_samples_the_newest_tenth_gets_its_share(count, every):
    assert newest_tenth(count, every) == pytest.approx(0.285, abs=0.03)


def test_the_temperature_is_dramas_at_its_rate_and_never_nothing():
    assert temperature(16.0) == pytest.approx(TEMPERATURE)
    assert temperature(1.0) == pytest.approx(0.475) and temperature(1e-3) > 0
    rates = [temperature(rate) for rate in np.geomspace(1e-3, 1e3, 50)]
    assert rates == sorted(rates)
