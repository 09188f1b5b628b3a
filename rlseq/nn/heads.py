"""Heads that turn features into action distributions and values."""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from rlseq.nn.distributions import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    Distribution,
    MultiCategorical,
)
from rlseq.nn.initialisers import orthogonal

ActionKind = Literal["discrete", "multi_discrete", "binary", "continuous"]


class PolicyHead(nn.Module):
    """Features [..., D] -> a distribution over actions.

    `sizes` is the number of choices ("discrete": one entry, "multi_discrete": one a choice), of
    coins ("binary": one entry) or of action dimensions ("continuous": one entry). The small gain
    makes the first policy nearly uniform (2006.05990, section 3.2).
    """

    kind: ActionKind
    sizes: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array) -> Distribution:
        small = orthogonal(0.01)
        out = nn.Dense(sum(self.sizes), kernel_init=small)(x)
        if self.kind == "continuous":
            log_std = self.param("log_std", nn.initializers.zeros, self.sizes, jnp.float32)
            return DiagonalGaussian(out, jnp.broadcast_to(log_std, out.shape))
        if self.kind == "binary":
            return Bernoulli(out)
        if self.kind == "discrete":
            return Categorical(out)
        ends = [sum(self.sizes[: i + 1]) for i in range(len(self.sizes) - 1)]
        return MultiCategorical(tuple(Categorical(p) for p in jnp.split(out, ends, axis=-1)))


class ValueHead(nn.Module):
    """Features [..., D] -> values [...]."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return nn.Dense(1, kernel_init=orthogonal(1.0))(x)[..., 0]
