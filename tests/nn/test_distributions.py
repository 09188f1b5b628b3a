"""Distributions against scipy.stats; sampling frequencies by chi-square with fixed seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from rlseq.nn.distributions import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    MultiCategorical,
    TanhGaussian,
)

RNG = np.random.default_rng(0)
LEAD = (4, 3)
DRAWS = 20_000


def f32(x):
    return jnp.asarray(x, jnp.float32)


def categorical(n, lead=LEAD):
    logits = RNG.normal(0, 2, size=(*lead, n))
    return Categorical(f32(logits)), special.softmax(logits, axis=-1)


def coins(n, lead=LEAD):
    logits = RNG.normal(0, 2, size=(*lead, n))
    return Bernoulli(f32(logits)), stats.bernoulli(special.expit(logits))


def gaussian(size, lead=LEAD):
    mean, log_std = RNG.normal(size=(2, *lead, size))
    return DiagonalGaussian(f32(mean), f32(log_std)), stats.norm(mean, np.exp(log_std))


def draws(distribution):
    keys = jax.random.split(jax.random.key(3), DRAWS)
    return np.asarray(jax.vmap(distribution.sample)(keys))


def test_categorical_log_prob_entropy_and_mode():
    policy, probabilities = categorical(5)
    action = RNG.integers(0, 5, size=LEAD)
    expected = np.log(np.take_along_axis(probabilities, action[..., None], -1)[..., 0])
    got = policy.log_prob(jnp.asarray(action, jnp.int32))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(policy.entropy(), stats.entropy(probabilities, axis=-1), rtol=1e-4)
    assert (policy.mode() == probabilities.argmax(-1)).all()


def test_categorical_ignores_a_shift_and_survives_huge_logits():
    policy, _ = categorical(5)
    shifted = Categorical(policy.logits + 100)
    np.testing.assert_allclose(shifted.entropy(), policy.entropy(), rtol=1e-3)
    sure = Categorical(f32([1e6, 0, -1e6]))
    assert sure.entropy() == 0 and sure.log_prob(jnp.int32(0)) == 0
    assert np.isfinite(jax.grad(lambda x: Categorical(x).entropy())(sure.logits)).all()


def test_categorical_samples_have_their_frequencies():
    policy, probabilities = categorical(5, lead=())
    sampled = draws(policy)
    assert sampled.dtype == np.int32
    observed = np.bincount(sampled, minlength=5)
    assert stats.chisquare(observed, probabilities * DRAWS).pvalue > 1e-3


def test_multi_categorical_is_the_product_of_its_parts():
    parts, probabilities = zip(*(categorical(n) for n in (2, 3, 4)), strict=True)
    policy = MultiCategorical(tuple(parts))
    action = np.stack([RNG.integers(0, n, size=LEAD) for n in (2, 3, 4)], axis=-1)
    each = [
        np.take_along_axis(p, action[..., i, None], -1)[..., 0] for i, p in enumerate(probabilities)
    ]
    got = policy.log_prob(jnp.asarray(action, jnp.int32))
    np.testing.assert_allclose(got, np.log(np.prod(each, axis=0)), rtol=1e-4, atol=1e-5)
    joint = np.einsum("tbi,tbj,tbk->tbijk", *probabilities).reshape(*LEAD, -1)
    np.testing.assert_allclose(policy.entropy(), stats.entropy(joint, axis=-1), rtol=1e-4)
    best = np.stack([p.argmax(-1) for p in probabilities], axis=-1)
    assert (policy.mode() == best).all()


def test_multi_categorical_samples_its_parts_independently():
    parts, (first, second) = zip(*(categorical(n, lead=()) for n in (3, 3)), strict=True)
    sampled = draws(MultiCategorical(tuple(parts)))
    assert sampled.shape == (DRAWS, 2) and sampled.dtype == np.int32
    # Equal sizes: were both parts drawn with one key, they would go together.
    observed = np.bincount(sampled[:, 0] * 3 + sampled[:, 1], minlength=9)
    assert stats.chisquare(observed, np.outer(first, second).ravel() * DRAWS).pvalue > 1e-3


def test_bernoulli_log_prob_entropy_and_mode():
    policy, exact = coins(3)
    action = RNG.integers(0, 2, size=(*LEAD, 3))
    expected = exact.logpmf(action).sum(-1)
    np.testing.assert_allclose(policy.log_prob(jnp.asarray(action, jnp.int32)), expected, rtol=1e-4)
    np.testing.assert_allclose(policy.entropy(), exact.entropy().sum(-1), rtol=1e-4)
    np.testing.assert_array_equal(policy.mode(), exact.mean() > 0.5)
    assert policy.mode().dtype == jnp.int32


def test_bernoulli_is_finite_where_a_coin_is_certain():
    policy = Bernoulli(f32([200.0, -200.0]))
    assert policy.log_prob(jnp.asarray([1, 0])) == 0 and policy.entropy() == 0
    np.testing.assert_allclose(policy.log_prob(jnp.asarray([0, 1])), -400)


def test_bernoulli_samples_have_their_odds_and_are_independent():
    policy, exact = coins(2, lead=())
    sampled = draws(policy)
    assert sampled.dtype == np.int32
    heads = exact.mean()
    odds = np.outer([1 - heads[0], heads[0]], [1 - heads[1], heads[1]]).ravel()
    observed = np.bincount(sampled[:, 0] * 2 + sampled[:, 1], minlength=4)
    assert stats.chisquare(observed, odds * DRAWS).pvalue > 1e-3


def test_gaussian_log_prob_entropy_and_mode():
    policy, exact = gaussian(3)
    action = RNG.normal(0, 2, size=(*LEAD, 3))
    expected = exact.logpdf(action).sum(-1)
    np.testing.assert_allclose(policy.log_prob(f32(action)), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(policy.entropy(), exact.entropy().sum(-1), rtol=1e-4, atol=1e-5)
    assert (policy.mode() == policy.mean).all()


def test_gaussian_samples_are_normal_and_independent():
    policy, exact = gaussian(2, lead=())
    sampled = draws(policy)
    uniform = exact.cdf(sampled)
    cells = np.floor(np.clip(uniform, 0, 1 - 1e-9) * 4).astype(int)
    observed = np.bincount(cells[:, 0] * 4 + cells[:, 1], minlength=16)
    assert stats.chisquare(observed).pvalue > 1e-3


@pytest.mark.parametrize(
    "make",
    [lambda: categorical(4)[0], lambda: coins(3)[0], lambda: gaussian(2)[0]],
    ids=["categorical", "bernoulli", "gaussian"],
)
def test_the_score_averages_to_zero(make):
    """E[grad log p(a)] = 0 of samples: log_prob belongs to the distribution that is sampled."""
    policy = jax.tree.map(lambda x: x[0, 0], make())
    actions = jnp.asarray(draws(policy))

    def score(action):
        return jax.grad(lambda p: p.log_prob(action))(policy)

    scores = jax.vmap(score)(actions)
    for leaf in jax.tree.leaves(scores):
        error = leaf.std(0) / np.sqrt(DRAWS)
        assert (np.abs(leaf.mean(0)) < 4 * error).all()


def squashed(mean, log_std, low, high):
    return TanhGaussian(*map(f32, (mean, log_std, (low + high) / 2, (high - low) / 2)))


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (1.5, -1.0), (-0.3, 0.7), (3.0, -2.0)])
def test_the_density_of_a_squashed_normal_is_the_slope_of_its_distribution_function(mean, log_std):
    low, high = np.array([-1.0]), np.array([3.0])
    edges = 1 + 2 * np.tanh(np.linspace(-6, 6, 4001))
    # Chances of intervals by the normal distribution function of where they come from.
    chances = np.diff(stats.norm(mean, np.exp(log_std)).cdf(np.linspace(-6, 6, 4001)))
    middles = (edges[1:] + edges[:-1]) / 2
    squash = squashed(np.array([mean]), np.array([log_std]), low, high)
    log_p = np.asarray(jax.vmap(squash.log_prob)(f32(middles[:, None])), np.float64)
    mass = np.exp(log_p) * np.diff(edges)
    np.testing.assert_allclose(mass.sum(), chances.sum(), atol=2e-3)
    clear = (chances > 1e-6) & (np.abs(middles - 1) < 1.99)
    assert clear.sum() > 100
    np.testing.assert_allclose(mass[clear], chances[clear], rtol=5e-3)


def test_a_squashed_draw_has_the_log_density_of_its_action():
    mean, log_std = RNG.normal(size=(2, *LEAD, 2))
    low, high = np.broadcast_to([-1.0, 2.0], mean.shape), np.broadcast_to([3.0, 2.5], mean.shape)
    policy = squashed(mean, log_std - 1, low, high)
    unit, log_p = policy.draw(jax.random.key(1))
    action = policy.sample(jax.random.key(1))
    np.testing.assert_allclose(action, (low + high) / 2 + (high - low) / 2 * unit, rtol=1e-5)
    volume = np.log(2 * 0.25)  # of half the sides
    np.testing.assert_allclose(policy.log_prob(action), log_p - volume, rtol=2e-3, atol=2e-3)
    far = TanhGaussian(f32([60.0]), f32([0.0]), f32([0.0]), f32([1.0]))
    slope = jax.grad(lambda m: far._replace(mean=m).draw(jax.random.key(1))[1])(far.mean)
    assert np.isfinite(far.draw(jax.random.key(1))[1]) and np.isfinite(slope).all()
    assert np.isfinite(far.log_prob(f32([1.0])))
