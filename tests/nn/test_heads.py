"""Encoders and heads: shapes, and a first policy that prefers nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.nn.distributions import Bernoulli, Categorical, DiagonalGaussian, MultiCategorical
from rlseq.nn.encoders import DenseStack
from rlseq.nn.heads import PolicyHead, ValueHead

X = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4, 16)), jnp.float32)


def run(module, x=X):
    params = jax.jit(module.init)(jax.random.key(0), x)
    return params, module.apply(params, x)


@pytest.mark.parametrize("lead", [(), (4,), (5, 4)])
def test_leading_axes_pass_through(lead):
    x = jnp.ones((*lead, 16))
    assert run(DenseStack((8, 6)), x)[1].shape == (*lead, 6)
    assert run(ValueHead(), x)[1].shape == lead
    assert run(PolicyHead("discrete", (7,)), x)[1].logits.shape == (*lead, 7)
    parts = run(PolicyHead("multi_discrete", (2, 3, 4)), x)[1].parts
    assert [p.logits.shape for p in parts] == [(*lead, 2), (*lead, 3), (*lead, 4)]
    assert run(PolicyHead("binary", (5,)), x)[1].logits.shape == (*lead, 5)
    policy = run(PolicyHead("continuous", (2,)), x)[1]
    assert policy.mean.shape == policy.log_std.shape == (*lead, 2)


def test_the_first_discrete_policy_is_nearly_uniform():
    policy = run(PolicyHead("discrete", (7,)))[1]
    assert isinstance(policy, Categorical)
    np.testing.assert_allclose(jax.nn.softmax(policy.logits), 1 / 7, atol=0.01)
    np.testing.assert_allclose(policy.entropy(), np.log(7), rtol=1e-3)


def test_the_first_multi_discrete_policy_is_nearly_uniform():
    policy = run(PolicyHead("multi_discrete", (2, 5)))[1]
    assert isinstance(policy, MultiCategorical)
    np.testing.assert_allclose(policy.entropy(), np.log(2) + np.log(5), rtol=1e-3)


def test_the_first_coins_are_nearly_fair():
    policy = run(PolicyHead("binary", (4,)))[1]
    assert isinstance(policy, Bernoulli)
    np.testing.assert_allclose(jax.nn.sigmoid(policy.logits), 0.5, atol=0.02)
    np.testing.assert_allclose(policy.entropy(), 4 * np.log(2), rtol=1e-3)


def test_the_first_continuous_policy_is_nearly_standard_normal():
    policy = run(PolicyHead("continuous", (3,)))[1]
    assert isinstance(policy, DiagonalGaussian)
    np.testing.assert_allclose(policy.mean, 0, atol=0.1)
    assert (policy.log_std == 0).all()


def test_log_std_is_one_parameter_an_action_and_learns():
    head = PolicyHead("continuous", (3,))
    params, _ = run(head)

    def loss(p):
        return -head.apply(p, X).log_prob(jnp.zeros((5, 4, 3))).mean()

    gradient = jax.grad(loss)(params)["params"]["log_std"]
    # At mean 0 and std 1, d(-log p) / d(log std) = 1 - (a - mean)^2.
    np.testing.assert_allclose(gradient, np.ones(3), atol=0.05)


def test_the_encoder_keeps_the_scale_of_its_input():
    y = run(DenseStack((256, 256)), jnp.asarray(np.random.default_rng(1).normal(size=(64, 32))))
    assert 0.5 < float(jnp.square(y[1]).mean()) * 256 / 32 < 2
