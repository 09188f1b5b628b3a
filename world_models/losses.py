"""The parts of a world model's loss: pure functions of [T, B] sequences."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.rl.losses import masked_mean
from rlseq.world_models.latents import kl


class Balanced(NamedTuple):
    """KL of posterior and prior, once for the gradient of each; scalars."""

    dynamics: Array  # pulls the prior to the posterior
    representation: Array  # pulls the posterior to the prior
    kl: Array  # nats, before the free ones: what both measure


def balanced_kl(
    posterior: Array, prior: Array, mask: Array, *, free: float, per_element: bool
) -> Balanced:
    """KL(posterior, prior) of log-probabilities [T, B, K, C] where `mask` bool [T, B].

    `free` nats cost nothing: of the mean over the mask, as in Drama (below it no step has a
    gradient), or of every step by itself, as in DreamerV3 (2301.04104, equation 5).
    """

    def cost(p: Array, q: Array) -> Array:
        nats = kl(p, q)
        if per_element:
            return masked_mean(jnp.maximum(nats, free), mask)
        return jnp.maximum(masked_mean(nats, mask), free)

    fixed_posterior, fixed_prior = lax.stop_gradient((posterior, prior))
    return Balanced(
        cost(fixed_posterior, prior),
        cost(posterior, fixed_prior),
        masked_mean(kl(fixed_posterior, fixed_prior), mask),
    )


def termination_loss(logit: Array, terminated: Array) -> Array:
    """Binary cross entropy [...] of logits and bool [...]."""
    return jax.nn.softplus(jnp.where(terminated, -logit, logit))


def squared(prediction: Array, x: Array) -> Array:
    """The square of the difference, number by number."""
    return jnp.square(prediction - x)


def bernoulli(logits: Array, x: Array) -> Array:
    """The cross entropy of x in [0, 1] and sigmoid(logits) in nats, number by number.

    Its least value is the entropy of x, 0 where x is 0 or 1: that has no gradient and is left in.
    """
    return jax.nn.softplus(logits) - x * logits
