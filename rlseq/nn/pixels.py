"""Encoders of images: convolutions and patches, on CPUs as plain matrix products."""

import math
from functools import partial
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.nn.encoders import DenseStack, normed
from rlseq.nn.initialisers import orthogonal

ConvMethod = Literal["auto", "matmul", "xla"]
Layers = tuple[tuple[int, int, int], ...]  # (features, side of the kernel, stride) each

# Mnih et al. 2015 (Nature 518), methods; PPO on Atari has the same (1707.06347, section 6.2).
NATURE: Layers = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
# Young and Tian 1903.03176 (MinAtar), section 4: for its boards of 10 x 10.
BOARD: Layers = ((16, 3, 1),)
# Ours: kernels that do not overlap, like the patches of a vision transformer (2010.11929).
PATCHES: Layers = ((32, 8, 8), (64, 2, 2))
# After van Hasselt et al. 1906.05243 (data-efficient Rainbow), appendix, whose two sides of 5 leave
# 9 of 84 pixels unseen at the right and the bottom, where Breakout's paddle is. Sides are ours:
# they divide 84.
DATA_EFFICIENT: Layers = ((32, 7, 7), (64, 3, 3))
GROUP = 8  # ours: images at a time on CPUs; windows of more of them leave the caches
BOARD_PATCHES: Layers = ((32, 2, 2), (64, 2, 2))


class PixelEncoder(nn.Module):
    """Images [..., H, W, C] -> [..., widths[-1]] of `dtype`: layers of kernels, then dense ones.

    uint8 becomes 0 .. 1 here and nowhere before; other dtypes come as they are. Layers whose
    stride is their side see all of an image, for which zeros are added at its right and bottom
    where it needs them; the others leave out what does not fill a kernel. Initialisation
    and `norm`, at each place over its channels, as in `DenseStack`, and so are dtypes.
    """

    layers: Layers
    widths: tuple[int, ...]
    method: ConvMethod = "auto"
    norm: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        lead = x.shape[:-3]
        x = x.reshape(-1, *x.shape[-3:])
        if x.dtype == jnp.uint8:
            x = x.astype(jnp.float32) / 255
        for i, (features, side, stride) in enumerate(self.layers):
            shape = (side * side * x.shape[-1], features)
            kernel = self.param(f"kernel_{i}", orthogonal(math.sqrt(2)), shape)
            bias = self.param(f"bias_{i}", nn.initializers.zeros, (features,), jnp.float32)
            x = _filled(x, side) if side == stride else x
            kernel = kernel.reshape(side, side, -1, features)
            x, kernel, bias = (one.astype(self.dtype) for one in (x, kernel, bias))
            x = convolve(x, kernel, stride, self.method) + bias[None, None, None]
            x = nn.relu(normed(x, nn.LayerNorm()) if self.norm else x)
        return DenseStack(self.widths, self.norm, self.dtype)(x.reshape(*lead, -1))


def convolve(x: Array, kernel: Array, stride: int, method: ConvMethod = "auto") -> Array:
    """The convolution of x [B, H, W, C] with kernel [K, K, C, F], without padding.

    "matmul" is one product over all windows; where they overlap, some images at a time and again
    in the gradient. It needs a stride that divides K. "xla" is XLA's own. "auto" is "matmul" on
    CPUs, where it makes PPO's update on Atari more than twice as fast (`benchmarks/atari_ppo.py`).
    """
    if method == "auto":
        method = "matmul" if jax.default_backend() == "cpu" else "xla"
    if method == "xla":
        layout = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, kernel, 2 * (stride,), "VALID", dimension_numbers=layout)
    if stride == kernel.shape[0]:
        return _over_windows(x, kernel, stride)  # patches: no pixel is in two windows
    count = x.shape[0]
    group = next(size for size in range(min(GROUP, count), 0, -1) if count % size == 0)
    product = jax.checkpoint(partial(_over_windows, kernel=kernel, stride=stride))
    y = lax.map(product, x.reshape(-1, group, *x.shape[1:]))
    return y.reshape(-1, *y.shape[2:])


def _over_windows(x: Array, kernel: Array, stride: int) -> Array:
    """One product over all windows, put together from blocks of stride x stride pixels."""
    side, _, channels, features = kernel.shape
    parts = side // stride
    height, width = ((size - side) // stride + 1 for size in x.shape[1:3])
    rows, columns = height + parts - 1, width + parts - 1
    x = x[:, : rows * stride, : columns * stride]
    x = x.reshape(-1, rows, stride, columns, stride, channels).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(-1, rows, columns, stride * stride * channels)
    shifts = [(i, j) for i in range(parts) for j in range(parts)]
    windows = jnp.concatenate([x[:, i : i + height, j : j + width] for i, j in shifts], axis=-1)
    kernel = kernel.reshape(parts, stride, parts, stride, channels, features)
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5).reshape(-1, features)
    y = windows.reshape(-1, kernel.shape[0]) @ kernel
    return y.reshape(-1, height, width, features)


def _filled(x: Array, side: int) -> Array:
    """x [B, H, W, C] with zeros after its last rows and columns: H and W multiples of side."""
    after = [(0, -size % side) for size in x.shape[1:3]]
    return jnp.pad(x, ((0, 0), *after, (0, 0)))
