"""The causal convolution as a module: its parameters, its window, both of its forms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.scans.conv import causal_conv, conv_step


class CausalConv(nn.Module):
    """A depthwise convolution over time of `width` steps; the carry is its window of inputs.

    Weights and bias start uniform in +-1 / sqrt(width), the default of the reference Mamba.
    """

    channels: int
    width: int = 4
    use_bias: bool = True
    dtype: str = "float32"

    def setup(self) -> None:
        self.weight = self.param("weight", self._initial, (self.width, self.channels))
        self.bias = self.param("bias", self._initial, (self.channels,)) if self.use_bias else None

    def init_carry(self, batch: int) -> Array:
        """Zeros [batch, width - 1, channels]."""
        return jnp.zeros((batch, self.width - 1, self.channels), self.dtype)

    def __call__(self, carry: Array, x: Array, reset: Array) -> tuple[Array, Array]:
        """x [T, B, channels], reset bool [T, B] -> (carry, y [T, B, channels])."""
        carry, y = causal_conv(x, self.weight, carry, reset)
        return carry, self._shift(y)

    def step(self, carry: Array, x: Array, reset: Array) -> tuple[Array, Array]:
        """x [B, channels], reset bool [B] -> (carry, y [B, channels])."""
        carry, y = conv_step(x, self.weight, carry, reset)
        return carry, self._shift(y)

    def _shift(self, y: Array) -> Array:
        if self.bias is None:
            return y
        return y + jnp.expand_dims(self.bias, tuple(range(y.ndim - 1)))

    def _initial(self, key: Array, shape: tuple[int, ...]) -> Array:
        bound = self.width**-0.5
        return jax.random.uniform(key, shape, jnp.dtype(self.dtype), -bound, bound)
