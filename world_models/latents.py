"""Independent categoricals as latents: draws with straight-through gradients, KL, entropy.

Log-probabilities are [..., K, C]: K choices of C classes each.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax


def log_probabilities(logits: Array, unimix: float) -> Array:
    """Softmax over the last axis, mixed with so much of the uniform (DreamerV3, 2301.04104)."""
    if not unimix:
        return jax.nn.log_softmax(logits)
    uniform = unimix / logits.shape[-1]
    return jnp.log((1 - unimix) * jax.nn.softmax(logits) + uniform)


def sample(log_p: Array, key: Array) -> Array:
    """One-hot draws side by side, [..., K * C]; their gradient is that of the probabilities."""
    probability = jnp.exp(log_p)
    chosen = jax.random.categorical(key, lax.stop_gradient(log_p))
    one_hot = jax.nn.one_hot(chosen, log_p.shape[-1], dtype=log_p.dtype)
    through = one_hot + (probability - lax.stop_gradient(probability))
    return through.reshape(*log_p.shape[:-2], -1)


def kl(log_p: Array, log_q: Array) -> Array:
    """KL(p, q) in nats, summed over the K choices: [...]."""
    return (jnp.exp(log_p) * (log_p - log_q)).sum((-1, -2))


def entropy(log_p: Array) -> Array:
    """Nats, summed over the K choices: [...]."""
    return -(jnp.exp(log_p) * log_p).sum((-1, -2))
