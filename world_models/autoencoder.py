"""Encoders and decoders of pictures, small grids and vectors.

An encoder turns observations into features for the posterior head; a decoder turns latents into
observations. Pictures live in [0, 1] inside, vectors in symlog space.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from jax import Array, lax
from jax.ad_checkpoint import checkpoint_name

from rlseq.envs.spaces import describe, flat_size, flatten
from rlseq.errors import InputError
from rlseq.nn.conv2d import Conv2D, ConvTransposed2D
from rlseq.nn.encoders import NormedStack
from rlseq.nn.initialisers import fan_average
from rlseq.rl.two_hot import symexp, symlog
from rlseq.types import PyTree
from rlseq.world_models.losses import bernoulli, squared

GRID = 16  # pictures up to this size are grids: MinAtar's are 10 x 10
EPSILON = 1e-5  # of norms
KEPT = "convolution"  # all that the backward pass keeps of a group of pictures
GROUP = 8  # ours, pictures at a time on a CPU: what lies between two convolutions fits its caches


class ConvEncoder(nn.Module):
    """Pictures [..., H, W, C] -> features; each convolution after the first halves both sides.

    Drama's five (Wang et al. 2410.08893): kernel 5, SiLU. It normalises by batch statistics, which
    differ between training and acting; here each place is normalised over its channels (as in
    DreamerV3), with as many parameters.
    """

    channels: tuple[int, ...]
    kernel: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for i, width in enumerate(self.channels):
            x = checkpoint_name(Conv2D(width, self.kernel, stride=2 if i else 1)(x), KEPT)
            x = _active(x)
        return x.reshape(*x.shape[:-3], -1)


class ConvDecoder(nn.Module):
    """Latents [..., L] -> pictures of `shape`: the encoder backwards."""

    shape: tuple[int, ...]
    channels: tuple[int, ...]
    kernel: int

    def setup(self) -> None:
        scale = 2 ** (len(self.channels) - 1)
        self.low = (self.shape[0] // scale, self.shape[1] // scale, self.channels[-1])
        self.dense = nn.Dense(math.prod(self.low), kernel_init=fan_average())
        self.norms = [nn.LayerNorm(epsilon=EPSILON) for _ in self.channels]
        self.doublings = [ConvTransposed2D(w, self.kernel) for w in self.channels[-2::-1]]
        self.last = Conv2D(self.shape[-1], self.kernel)

    def __call__(self, latent: Array) -> Array:
        return self.paint(self.spread(latent))

    def spread(self, latent: Array) -> Array:
        """Latents [..., L] -> what convolutions make a picture of [..., h, w, C].

        For all pictures at once: in groups the matrix would be read again for each.
        """
        return self.dense(latent).reshape(*latent.shape[:-1], *self.low)

    def paint(self, x: Array) -> Array:
        """[..., h, w, C] -> pictures [..., *shape]."""
        x = nn.silu(self.norms[0](x))
        for double, norm in zip(self.doublings, self.norms[1:], strict=True):
            x = nn.silu(norm(checkpoint_name(double(x), KEPT)))
        return nn.sigmoid(checkpoint_name(self.last(x), KEPT))


class PatchEncoder(nn.Module):
    """Pictures [..., H, W, C] -> features: each patch through the same dense layers; no
    convolution, which CPUs thank for. Ours."""

    patch: int
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        *lead, height, width, channels = x.shape
        p = self.patch
        x = x.reshape(*lead, height // p, p, width // p, p, channels)
        x = jnp.moveaxis(x, -3, -4).reshape(*lead, (height // p) * (width // p), p * p * channels)
        return NormedStack(self.widths)(x).reshape(*lead, -1)


class PatchDecoder(nn.Module):
    """Latents [..., L] -> logits of pictures of `shape`: the encoder backwards."""

    shape: tuple[int, ...]
    patch: int
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, latent: Array) -> Array:
        height, width, channels = self.shape
        p, lead = self.patch, latent.shape[:-1]
        rows, columns = height // p, width // p
        x = nn.Dense(rows * columns * self.widths[-1], kernel_init=fan_average())(latent)
        x = _active(x.reshape(*lead, rows * columns, self.widths[-1]))
        x = NormedStack(self.widths[-2::-1])(x)
        x = nn.Dense(p * p * channels, kernel_init=fan_average())(x)
        x = jnp.moveaxis(x.reshape(*lead, rows, columns, p, p, channels), -4, -3)
        return x.reshape(*lead, *self.shape)


class GridEncoder(nn.Module):
    """Small grids [..., H, W, C] -> features: one 3 x 3 convolution, every place kept. Ours."""

    width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = _active(Conv2D(self.width, 3)(x))
        return x.reshape(*x.shape[:-3], -1)


class GridDecoder(nn.Module):
    """Latents [..., L] -> logits of grids of `shape`: the encoder backwards."""

    shape: tuple[int, ...]
    width: int

    @nn.compact
    def __call__(self, latent: Array) -> Array:
        places = (*self.shape[:2], self.width)
        x = nn.Dense(math.prod(places), kernel_init=fan_average())(latent)
        x = _active(x.reshape(*latent.shape[:-1], *places))
        return Conv2D(self.shape[-1], 3)(x)


class VectorDecoder(nn.Module):
    """Latents [..., L] -> vectors [..., size] in symlog space. Ours."""

    size: int
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, latent: Array) -> Array:
        x = NormedStack(self.widths)(latent)
        return nn.Dense(self.size, kernel_init=fan_average())(x)


def _active(x: Array) -> Array:
    return nn.silu(nn.LayerNorm(epsilon=EPSILON)(x))


def in_groups(function: Callable[[Array], Array], x: Array) -> Array:
    """function of x [N, ...], on CPUs some of the N at a time.

    The backward pass keeps the results of convolutions and computes what lies between them again,
    which is quicker than to fetch it from memory and takes a fraction of it.
    """
    n = x.shape[0]
    size = next(m for m in range(min(GROUP, n), 0, -1) if n % m == 0)
    if jax.default_backend() != "cpu" or size == n:
        return function(x)
    policy = jax.checkpoint_policies.save_only_these_names(KEPT)
    again = jax.checkpoint(function, policy=policy, prevent_cse=False)
    parts = x.reshape(n // size, size, *x.shape[1:])
    y = lax.scan(lambda _, part: (None, again(part)), None, parts)[1]
    return y.reshape(n, *y.shape[2:])


class Autoencoder(NamedTuple):
    """How observations of a space become features, and latents observations."""

    encoder: nn.Module
    decoder: nn.Module
    inward: Callable[[PyTree], Array]  # [..., *obs] -> what the encoder reads and the loss compares
    outward: Callable[[Array], Array]  # what the decoder says -> units of the space
    error: Callable[[Array, Array], Array]  # (what the decoder says, x) -> the loss of each number
    grouped: bool  # convolutions: `in_groups` pays


def make_autoencoder(
    space: Any,
    encoder: str,
    *,
    channels: tuple[int, ...],
    kernel: int,
    patch: int,
    widths: tuple[int, ...],
) -> Autoencoder:
    """The autoencoder of an observation space.

    `encoder` "conv" and "patch" are for pictures [H, W, C]; those of up to 16 x 16 places take
    "grid" in their place, and every other space takes "vector", which any space may.

    Raises InputError for sides that the encoder cannot divide and pictures without finite bounds.
    """
    kind = encoder_of(space, encoder)
    if kind == "vector":
        decoder = VectorDecoder(flat_size(space), widths[::-1])
        inward = partial(_flat_symlog, space)
        return Autoencoder(NormedStack(widths), decoder, inward, symexp, squared, grouped=False)
    top = _brightest(space)
    if kind == "conv":
        _check_sides(space, kind, 2 ** (len(channels) - 1))
        pair = ConvEncoder(channels, kernel), ConvDecoder(space.shape, channels, kernel)
    elif kind == "patch":
        _check_sides(space, kind, patch)
        pair = PatchEncoder(patch, widths), PatchDecoder(space.shape, patch, widths)
    else:
        pair = GridEncoder(channels[0]), GridDecoder(space.shape, channels[0])
    inward, outward, error = partial(_scaled, 1 / top), partial(_scaled, top), squared
    if kind != "conv":
        # Ours: a square behind a sigmoid has next to no gradient where a rare thing goes unseen,
        # such as the ball of a game on its one place of a hundred.
        outward, error = partial(_lit, top), bernoulli
    return Autoencoder(*pair, inward, outward, error, grouped=kind == "conv")


def _flat_symlog(space: Any, x: PyTree) -> Array:
    return symlog(flatten(space, x))


def _scaled(factor: float, x: Array) -> Array:
    return x.astype(jnp.float32) * factor


def _lit(factor: float, logits: Array) -> Array:
    return factor * jax.nn.sigmoid(logits)


def encoder_of(space: Any, wanted: str) -> str:
    """Which encoder a space gets. Raises InputError for one of pictures on another space."""
    picture = isinstance(space, spaces.Box) and len(space.shape) == 3
    if not picture:
        if wanted == "grid":
            raise InputError(f"encoder 'grid' needs pictures [H, W, C], got {describe(space)}")
        return "vector"
    small = max(space.shape[:2]) <= GRID
    return "grid" if small and wanted in ("conv", "patch") else wanted


def _check_sides(space: spaces.Box, kind: str, divisor: int) -> None:
    height, width, _ = space.shape
    if height % divisor or width % divisor:
        raise InputError(
            f"encoder {kind!r} divides both sides of a picture by {divisor}, which {height} x "
            f"{width} do not: choose another size of frames, or world_model.channels or .patch"
        )


def _brightest(space: spaces.Box) -> float:
    low, high = float(jnp.min(jnp.asarray(space.low))), float(jnp.max(jnp.asarray(space.high)))
    if low < 0 or not 0 < high < math.inf:
        raise InputError(f"a picture's values lie between 0 and a bound, got {low} to {high}")
    return high
