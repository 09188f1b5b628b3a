"""Multi-layer perceptrons: of on-policy agents, and with norms as world models use them."""

import math
from collections.abc import Callable

import flax.linen as nn
from jax import Array

from rlseq.nn.initialisers import fan_average, orthogonal, sparse


class DenseStack(nn.Module):
    """x [..., D] -> [..., widths[-1]]: dense layers with a leaky ReLU after each.

    Orthogonal initialisation with gain sqrt(2) (Andrychowicz et al. 2006.05990, section 3.2).
    `norm` puts a LayerNorm before each leaky ReLU. Products and results are of `dtype`, parameters
    and norms float32.
    """

    widths: tuple[int, ...]
    norm: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.widths:
            x = nn.Dense(width, kernel_init=orthogonal(math.sqrt(2)), dtype=self.dtype)(x)
            x = nn.leaky_relu(normed(x, nn.LayerNorm()) if self.norm else x)
        return x


def normed(x: Array, norm: nn.Module) -> Array:
    """A norm in float32, its result of x's dtype."""
    y: Array = norm(x.astype("float32"))  # type: ignore[operator]
    return y.astype(x.dtype)


class SparseStack(nn.Module):
    """x [..., D] -> [..., widths[-1]]: dense layers, begun sparse, normalised before a leaky ReLU.

    The norms have no parameters (Elsayed et al. 2410.14606, section 3.4).
    """

    widths: tuple[int, ...]
    sparsity: float = 0.9  # the paper's
    dtype: str = "float32"  # as in `DenseStack`

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.widths:
            x = nn.Dense(width, kernel_init=sparse(self.sparsity), dtype=self.dtype)(x)
            x = nn.leaky_relu(normed(x, nn.LayerNorm(use_bias=False, use_scale=False)))
        return x


class NormedStack(nn.Module):
    """x [..., D] -> [..., widths[-1]]: dense layers, each with an RMSNorm and a SiLU after it.

    As in Drama (Wang et al. 2410.08893), whose heads start from `fan_average` and whose actor and
    critic from `orthogonal(sqrt(2))`.
    """

    widths: tuple[int, ...]
    kernel_init: Callable = fan_average()
    dtype: str = "float32"  # as in `DenseStack`

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for width in self.widths:
            x = nn.Dense(width, kernel_init=self.kernel_init, dtype=self.dtype)(x)
            x = nn.silu(normed(x, nn.RMSNorm(epsilon=1e-5)))
        return x
