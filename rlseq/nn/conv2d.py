"""Convolutions over pictures [..., H, W, C] that keep or halve the sides, and ones that double."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax

from rlseq.nn.initialisers import fan_average

AXES = ("NHWC", "HWIO", "NHWC")


def conv2d(x: Array, kernel: Array, stride: int = 1) -> Array:
    """x [N, H, W, C], kernel [k, k, C, D] -> [N, H / stride, W / stride, D].

    Padded with k // 2 zeros at the top and left, with as many at the other ends as it takes.
    """
    size = kernel.shape[0]
    pads = [_padding(side, size, stride) for side in x.shape[1:3]]
    return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=AXES)


def conv2d_transposed(x: Array, kernel: Array) -> Array:
    """x [N, H, W, C], kernel [k, k, C, D] -> [N, 2 H, 2 W, D]: the adjoint of stride 2."""
    size = kernel.shape[0]
    pads = [(size - 1 - size // 2, size // 2 + 1)] * 2
    return lax.conv_general_dilated(
        x, jnp.flip(kernel, (0, 1)), (1, 1), pads, lhs_dilation=(2, 2), dimension_numbers=AXES
    )


def _padding(side: int, size: int, stride: int) -> tuple[int, int]:
    before = size // 2
    return before, max((side // stride - 1) * stride + size - side - before, 0)


class Conv2D(nn.Module):
    """A convolution with bias; the sides stay, or are divided by `stride`, which divides them."""

    width: int
    kernel: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., H, W, C] -> [..., H / stride, W / stride, width]."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.width)
        kernel = self.param("kernel", fan_average(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        y = conv2d(x.reshape(-1, *x.shape[-3:]), kernel, self.stride)
        return _shift(y, bias).reshape(*x.shape[:-3], *y.shape[1:])


class ConvTransposed2D(nn.Module):
    """A transposed convolution with bias that doubles both sides."""

    width: int
    kernel: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., H, W, C] -> [..., 2 H, 2 W, width]."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.width)
        kernel = self.param("kernel", fan_average(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        y = conv2d_transposed(x.reshape(-1, *x.shape[-3:]), kernel)
        return _shift(y, bias).reshape(*x.shape[:-3], *y.shape[1:])


def _shift(y: Array, bias: Array) -> Array:
    return y + jnp.expand_dims(bias, (0, 1, 2))
