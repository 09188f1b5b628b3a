"""Multi-layer perceptrons with the initialisation that on-policy agents use."""

import math

import flax.linen as nn
from jax import Array

from rlseq.nn.initialisers import orthogonal


class DenseStack(nn.Module):
    """x [..., D] -> [..., widths[-1]]: dense layers with a leaky ReLU after each.

    Orthogonal initialisation with gain sqrt(2) (Andrychowicz et al. 2006.05990, section 3.2).
    """

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.widths:
            x = nn.Dense(width, kernel_init=orthogonal(math.sqrt(2)))(x)
            x = nn.leaky_relu(x)
        return x
