"""Action distributions as pytrees: sample, mode, log_prob, entropy over leading axes.

Ours rather than distrax: distrax imports a nightly build that reads JAX internals which warn today.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Categorical(NamedTuple):
    """One choice of n; actions are int32 [...]."""

    logits: Array  # [..., n]

    def sample(self, key: Array) -> Array:
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> Array:
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        log_p = jax.nn.log_softmax(self.logits)
        return jnp.take_along_axis(log_p, action[..., None], axis=-1)[..., 0]

    def entropy(self) -> Array:
        log_p = jax.nn.log_softmax(self.logits)
        return -(jnp.exp(log_p) * log_p).sum(-1)


class MultiCategorical(NamedTuple):
    """Independent choices side by side; actions are int32 [..., number of choices]."""

    parts: tuple[Categorical, ...]

    def sample(self, key: Array) -> Array:
        keys = jax.random.split(key, len(self.parts))
        return jnp.stack([p.sample(k) for p, k in zip(self.parts, keys, strict=True)], axis=-1)

    def mode(self) -> Array:
        return jnp.stack([p.mode() for p in self.parts], axis=-1)

    def log_prob(self, action: Array) -> Array:
        terms = [p.log_prob(action[..., i]) for i, p in enumerate(self.parts)]
        return jnp.stack(terms).sum(0)

    def entropy(self) -> Array:
        return jnp.stack([p.entropy() for p in self.parts]).sum(0)


class Bernoulli(NamedTuple):
    """Independent coins; actions are int32 [..., n], 0 or 1."""

    logits: Array  # [..., n] of a 1

    def sample(self, key: Array) -> Array:
        return jax.random.bernoulli(key, jax.nn.sigmoid(self.logits)).astype(jnp.int32)

    def mode(self) -> Array:
        return (self.logits > 0).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        return jax.nn.log_sigmoid(jnp.where(action > 0, self.logits, -self.logits)).sum(-1)

    def entropy(self) -> Array:
        p = jax.nn.sigmoid(self.logits)
        # H = -log(1 - p) - p * logit, which needs no log of 0.
        return (jax.nn.softplus(self.logits) - p * self.logits).sum(-1)


class DiagonalGaussian(NamedTuple):
    """Independent normals; actions are float [..., A]."""

    mean: Array  # [..., A]
    log_std: Array  # [..., A]

    def sample(self, key: Array) -> Array:
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def mode(self) -> Array:
        return self.mean

    def log_prob(self, action: Array) -> Array:
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return (-0.5 * z * z - self.log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> Array:
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)


class TanhGaussian(NamedTuple):
    """Independent normals squashed to a box: middle + half tanh(z), z normal (Haarnoja et al.
    1812.05905, appendix C). Actions are float [..., A]."""

    mean: Array  # [..., A] of z
    log_std: Array  # [..., A] of z
    middle: Array  # [..., A] of the box
    half: Array  # [..., A], half its sides

    def draw(self, key: Array) -> tuple[Array, Array]:
        """(tanh(z) [..., A], its log-density [...]): on the scale of -1 .. 1, with gradients."""
        z = DiagonalGaussian(self.mean, self.log_std).sample(key)
        return jnp.tanh(z), self._log_density(z)

    def sample(self, key: Array) -> Array:
        return self._scaled(self.draw(key)[0])

    def mode(self) -> Array:
        """Where z is likeliest, as the released code evaluates; the density may peak elsewhere."""
        return self._scaled(jnp.tanh(self.mean))

    def log_prob(self, action: Array) -> Array:
        """Of actions in the box; those at its very edge count as the last that are inside."""
        unit = jnp.clip((action - self.middle) / self.half, -1 + 1e-6, 1 - 1e-6)
        return self._log_density(jnp.arctanh(unit)) - jnp.log(self.half).sum(-1)

    def _scaled(self, unit: Array) -> Array:
        return self.middle + self.half * unit

    def _log_density(self, z: Array) -> Array:
        """Of tanh(z): log(1 - tanh(z)^2) in a form that holds for any z."""
        slope = 2 * (math.log(2) - z - jax.nn.softplus(-2 * z))
        return DiagonalGaussian(self.mean, self.log_std).log_prob(z) - slope.sum(-1)


Distribution = Categorical | MultiCategorical | Bernoulli | DiagonalGaussian
