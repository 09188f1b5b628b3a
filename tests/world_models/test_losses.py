"""Latents and losses against loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.rl.losses import masked_mean
from rlseq.world_models.latents import entropy, kl, log_probabilities, sample
from rlseq.world_models.losses import balanced_kl, termination_loss

T, B, K, C = 4, 3, 2, 5
VALID = jnp.array([[0, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], bool)


def logits(seed, scale=1.0):
    return scale * jax.random.normal(jax.random.key(seed), (T, B, K, C))


def slow_kl(p, q):
    """[T, B] by a sum over every class of every choice."""
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    out = np.zeros(p.shape[:2])
    for t, b, k, c in np.ndindex(*p.shape):
        out[t, b] += np.exp(p[t, b, k, c]) * (p[t, b, k, c] - q[t, b, k, c])
    return out


def test_one_percent_of_the_uniform():
    p = np.exp(log_probabilities(logits(0, 50.0), 0.01))
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(p, 0.99 * jax.nn.softmax(logits(0, 50.0)) + 0.01 / C, rtol=1e-5)
    assert p.min() >= 0.0019


def test_draws_are_one_hot_and_pass_the_gradient_to_the_probabilities():
    weights = jnp.arange(K * C, dtype=jnp.float32)
    x = logits(1)[0, 0]

    def value(x):
        return (sample(log_probabilities(x, 0.01), jax.random.key(0)) * weights).sum()

    def smooth(x):
        return (jnp.exp(log_probabilities(x, 0.01)).reshape(-1) * weights).sum()

    drawn = np.asarray(sample(log_probabilities(x, 0.01), jax.random.key(0))).reshape(K, C)
    assert (drawn.sum(-1) == 1).all() and set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_allclose(jax.grad(value)(x), jax.grad(smooth)(x), rtol=1e-5, atol=1e-6)


def test_the_frequency_of_draws():
    log_p = log_probabilities(logits(2)[0, 0], 0.01)
    keys = jax.random.split(jax.random.key(0), 4000)
    share = jax.vmap(lambda key: sample(log_p, key))(keys).mean(0)
    np.testing.assert_allclose(share, np.exp(log_p).reshape(-1), atol=0.04)


def test_kl_and_entropy():
    p, q = log_probabilities(logits(3), 0.01), log_probabilities(logits(4), 0.01)
    np.testing.assert_allclose(kl(p, q), slow_kl(p, q), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(entropy(p), -(np.exp(p) * np.asarray(p)).sum((2, 3)), rtol=1e-5)


@pytest.mark.parametrize("per_element", [False, True])
@pytest.mark.parametrize("free", [0.0, 0.7, 50.0])
def test_free_bits(per_element, free):
    p, q = log_probabilities(logits(3), 0.01), log_probabilities(logits(4), 0.01)
    got = balanced_kl(p, q, VALID, free=free, per_element=per_element)
    costs = [
        nats for nats, valid in zip(slow_kl(p, q).ravel(), np.ravel(VALID), strict=True) if valid
    ]
    mean = sum(costs) / len(costs)
    wanted = sum(max(c, free) for c in costs) / len(costs) if per_element else max(mean, free)
    np.testing.assert_allclose(got.kl, mean, rtol=1e-4)
    np.testing.assert_allclose(got.dynamics, wanted, rtol=1e-4)
    np.testing.assert_allclose(got.representation, wanted, rtol=1e-4)


def test_each_half_trains_one_side_and_only_where_it_is_valid():
    def cost(part, p, q, free=0.0):
        p, q = log_probabilities(p, 0.01), log_probabilities(q, 0.01)
        return getattr(balanced_kl(p, q, VALID, free=free, per_element=False), part)

    for part, moved, still in (("dynamics", 2, 1), ("representation", 1, 2)):
        grad = jax.grad(cost, argnums=(1, 2))(part, logits(3), logits(4))
        moved, still = grad[moved - 1], grad[still - 1]
        assert (still == 0).all()
        np.testing.assert_array_equal((moved != 0).any((2, 3)), VALID)
        assert (
            jax.grad(cost, argnums=moved_argument(part))(part, logits(3), logits(4), 50.0) == 0
        ).all()


def moved_argument(part):
    return 2 if part == "dynamics" else 1


def test_ends_and_means():
    logit = jnp.array([-30.0, 0.5, 30.0, 2.0])
    ended = jnp.array([False, True, True, False])
    p = 1 / (1 + np.exp(-np.asarray(logit, np.float64)))
    wanted = -np.log(np.where(ended, p, 1 - p))
    np.testing.assert_allclose(termination_loss(logit, ended), wanted, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        masked_mean(jnp.array([1.0, jnp.nan, 4.0]), jnp.array([True, False, True])), 2.5
    )
    assert masked_mean(jnp.ones(2), jnp.zeros(2, bool)) == 0
