"""The networks of encoders and decoders: of images, patches, small grids and vectors.

Products, and what lies between them, are of `dtype`; parameters and norms are float32.
"""

import math
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.ad_checkpoint import checkpoint_name

from rlseq.nn.conv2d import Conv2D, ConvTransposed2D
from rlseq.nn.encoders import NormedStack, normed
from rlseq.nn.initialisers import fan_average

EPSILON = 1e-5  # of norms
KEPT = "convolution"  # all that the backward pass keeps of a group of images


class ConvEncoder(nn.Module):
    """Images [..., H, W, C] -> features; each convolution after the first halves both sides.

    Drama's five (Wang et al. 2410.08893): kernel 5, SiLU. It normalises by batch statistics, which
    differ between training and acting; here each position is normalised over its channels (as in
    DreamerV3), with as many parameters.
    """

    channels: tuple[int, ...]
    kernel: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for i, width in enumerate(self.channels):
            layer = Conv2D(width, self.kernel, stride=2 if i else 1, dtype=self.dtype)
            x = _norm_silu(checkpoint_name(layer(x), KEPT))
        return x.reshape(*x.shape[:-3], -1)


class ConvDecoder(nn.Module):
    """Latents [..., L] -> images of `shape`: the encoder backwards."""

    shape: tuple[int, ...]
    channels: tuple[int, ...]
    kernel: int
    dtype: str = "float32"

    def setup(self) -> None:
        scale = 2 ** (len(self.channels) - 1)
        self.low = (self.shape[0] // scale, self.shape[1] // scale, self.channels[-1])
        self.dense = nn.Dense(math.prod(self.low), kernel_init=fan_average(), dtype=self.dtype)
        self.norms = [nn.LayerNorm(epsilon=EPSILON) for _ in self.channels]
        widths = self.channels[-2::-1]
        self.doublings = [ConvTransposed2D(w, self.kernel, self.dtype) for w in widths]
        self.last = Conv2D(self.shape[-1], self.kernel, dtype=self.dtype)

    def __call__(self, latent: Array) -> Array:
        return self.upsample(self.project(latent))

    def project(self, latent: Array) -> Array:
        """Latents [..., L] -> what convolutions make an image of [..., h, w, C].

        For all images at once: in groups the matrix would be read again for each.
        """
        return self.dense(latent).reshape(*latent.shape[:-1], *self.low)

    def upsample(self, x: Array) -> Array:
        """[..., h, w, C] -> images [..., *shape]."""
        x = nn.silu(normed(x, self.norms[0]))
        for double, norm in zip(self.doublings, self.norms[1:], strict=True):
            x = nn.silu(normed(checkpoint_name(double(x), KEPT), norm))
        return nn.sigmoid(checkpoint_name(self.last(x), KEPT).astype(jnp.float32))


class PatchEncoder(nn.Module):
    """Patches [..., N, D] of `to_patches` -> features: each through the same dense layers; no
    convolution, which CPUs thank for. Ours."""

    widths: tuple[int, ...]
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        rows = x.reshape(-1, x.shape[-1])  # of rank 2: gradients of its products are quicker
        return NormedStack(self.widths, dtype=self.dtype)(rows).reshape(*x.shape[:-2], -1)


class PatchDecoder(nn.Module):
    """Latents [..., L] -> logits of patches [..., number, size]: the encoder backwards."""

    number: int
    size: int
    widths: tuple[int, ...]
    dtype: str = "float32"

    @nn.compact
    def __call__(self, latent: Array) -> Array:
        dense = partial(nn.Dense, kernel_init=fan_average(), dtype=self.dtype)
        x = dense(self.number * self.widths[-1])(latent)
        x = _norm_silu(x.reshape(-1, self.widths[-1]))
        x = NormedStack(self.widths[-2::-1], dtype=self.dtype)(x)
        x = dense(self.size)(x).astype(jnp.float32)
        return x.reshape(*latent.shape[:-1], self.number, self.size)


def to_patches(patch: int, x: Array) -> Array:
    """Images [..., H, W, C] -> patches [..., N, D] of `patch` x `patch` positions, row by row."""
    *lead, height, width, channels = x.shape
    rows, columns = height // patch, width // patch
    x = jnp.moveaxis(x.reshape(*lead, rows, patch, columns, patch, channels), -3, -4)
    return x.reshape(*lead, rows * columns, patch * patch * channels)


def from_patches(patch: int, shape: tuple[int, ...], x: Array) -> Array:
    """`to_patches` undone: patches [..., N, D] -> images [..., *shape]."""
    height, width, channels = shape
    lead = x.shape[:-2]
    x = x.reshape(*lead, height // patch, width // patch, patch, patch, channels)
    return jnp.moveaxis(x, -4, -3).reshape(*lead, *shape)


class GridEncoder(nn.Module):
    """Small grids [..., H, W, C] -> features: one 3 x 3 convolution, every position kept. Ours."""

    width: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = _norm_silu(Conv2D(self.width, 3, dtype=self.dtype)(x))
        return x.reshape(*x.shape[:-3], -1)


class GridDecoder(nn.Module):
    """Latents [..., L] -> logits of grids of `shape`: the encoder backwards."""

    shape: tuple[int, ...]
    width: int
    dtype: str = "float32"

    @nn.compact
    def __call__(self, latent: Array) -> Array:
        positions = (*self.shape[:2], self.width)
        first = nn.Dense(math.prod(positions), kernel_init=fan_average(), dtype=self.dtype)
        x = _norm_silu(first(latent).reshape(*latent.shape[:-1], *positions))
        return Conv2D(self.shape[-1], 3, dtype=self.dtype)(x).astype(jnp.float32)


class VectorDecoder(nn.Module):
    """Latents [..., L] -> vectors [..., size] in symlog space. Ours."""

    size: int
    widths: tuple[int, ...]
    dtype: str = "float32"

    @nn.compact
    def __call__(self, latent: Array) -> Array:
        x = NormedStack(self.widths, dtype=self.dtype)(latent)
        last = nn.Dense(self.size, kernel_init=fan_average(), dtype=self.dtype)
        return last(x).astype(jnp.float32)


def _norm_silu(x: Array) -> Array:
    return nn.silu(normed(x, nn.LayerNorm(epsilon=EPSILON)))
