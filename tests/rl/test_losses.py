"""Losses against values and gradients worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.rl import losses

CLIP = 0.2


def array(*values):
    return jnp.asarray(values, jnp.float32)


# ratio, advantage, the loss, whether the ratio still moves it
SURROGATE = [
    (1.0, 2.0, -2.0, True),
    (1.1, 2.0, -2.2, True),
    (1.5, 2.0, -2.4, False),  # good and already likelier than 1 + clip
    (0.5, 2.0, -1.0, True),  # good but has become unlikely: pulled back
    (1.5, -2.0, 3.0, True),  # bad but has become likelier: pushed back
    (0.5, -2.0, 1.6, False),  # bad and already rarer than 1 - clip
]


@pytest.mark.parametrize(("ratio", "advantage", "loss", "moves"), SURROGATE)
def test_clipped_policy_loss(ratio, advantage, loss, moves):
    def one(log_ratio):
        return losses.clipped_policy_loss(log_ratio, array(advantage), CLIP)

    value, gradient = jax.value_and_grad(one)(jnp.log(array(ratio)))
    np.testing.assert_allclose(value, loss, rtol=1e-6)
    # d(-ratio * advantage) / d(log ratio) = -ratio * advantage
    np.testing.assert_allclose(gradient[0], -ratio * advantage if moves else 0, rtol=1e-6)


def test_policy_loss_is_the_mean_over_all_entries():
    ratio, advantage, loss, _ = (np.array(column) for column in zip(*SURROGATE, strict=True))
    log_ratio = jnp.log(jnp.asarray(ratio, jnp.float32)).reshape(2, 3)
    advantage = jnp.asarray(advantage, jnp.float32).reshape(2, 3)
    got = losses.clipped_policy_loss(log_ratio, advantage, CLIP)
    np.testing.assert_allclose(got, loss.mean(), rtol=1e-6)


def test_value_loss():
    value, gradient = jax.value_and_grad(losses.value_loss)(array(1.0, 3.0), array(2.0, 0.0))
    assert value == 0.5 * (1 + 9) / 2
    np.testing.assert_allclose(gradient, [-0.5, 1.5])


# value, old value, target, the loss, whether the value still moves it
CRITIC = [
    (1.1, 1.0, 2.0, 0.5 * 0.9**2, True),
    (1.8, 1.0, 2.0, 0.5 * 0.8**2, False),  # better than the clip allows: the clipped error counts
    (0.5, 1.0, 2.0, 0.5 * 1.5**2, True),  # moved the wrong way: the plain error counts
    (3.0, 1.0, 1.5, 0.5 * 1.5**2, True),  # overshot
]


@pytest.mark.parametrize(("value", "old", "target", "loss", "moves"), CRITIC)
def test_clipped_value_loss(value, old, target, loss, moves):
    def one(v):
        return losses.clipped_value_loss(v, array(old), array(target), CLIP)

    got, gradient = jax.value_and_grad(one)(array(value))
    np.testing.assert_allclose(got, loss, rtol=1e-5)
    np.testing.assert_allclose(gradient[0], value - target if moves else 0, rtol=1e-5)


def test_approximate_kl_is_exact_over_all_outcomes():
    old, new = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.35, 0.25])
    counts = (old * 20).astype(int)  # old's outcomes in their exact shares
    log_ratio = np.repeat(np.log(new / old), counts)
    kl = (old * np.log(old / new)).sum()
    got = losses.approximate_kl(jnp.asarray(log_ratio, jnp.float32))
    np.testing.assert_allclose(got, kl, rtol=1e-4)


def test_approximate_kl_is_never_negative():
    log_ratio = jnp.asarray(np.random.default_rng(0).normal(size=(50, 20)), jnp.float32)
    assert (jax.vmap(losses.approximate_kl)(log_ratio) >= 0).all()
    assert losses.approximate_kl(jnp.zeros(3)) == 0


def test_standardise():
    x = np.random.default_rng(1).normal(3, 5, size=(6, 7))
    got = losses.standardise(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got, (x - x.mean()) / x.std(), atol=1e-5)
    assert (losses.standardise(jnp.full((2, 3), 4.0)) == 0).all()


def test_a_mask_leaves_entries_out_of_every_mean():
    rng = np.random.default_rng(0)
    x, y, z = (jnp.asarray(rng.normal(size=(4, 5)), jnp.float32) for _ in range(3))
    mask = jnp.asarray(rng.random((4, 5)) < 0.5)
    kept = [a[mask] for a in (x, y, z)]
    for got, expected in (
        (losses.clipped_policy_loss(x, y, CLIP, mask), losses.clipped_policy_loss(*kept[:2], CLIP)),
        (losses.value_loss(x, y, mask), losses.value_loss(*kept[:2])),
        (losses.clipped_value_loss(x, y, z, 0.1, mask), losses.clipped_value_loss(*kept, 0.1)),
        (losses.approximate_kl(x, mask), losses.approximate_kl(kept[0])),
        (losses.standardise(x, mask)[mask], losses.standardise(kept[0])),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    assert (losses.standardise(x, mask)[~mask] == 0).all()
    assert losses.masked_mean(x, jnp.zeros_like(mask)) == 0
