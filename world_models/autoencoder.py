"""Which encoder and decoder an observation space gets, and how observations are converted for them.

An encoder turns observations into features for the posterior head; a decoder turns latents into
observations. Images live in [0, 1] inside, those of patches in patches, vectors in symlog space.
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

from rlseq.envs.spaces import describe, flat_size, flatten
from rlseq.errors import InputError
from rlseq.nn.encoders import NormedStack
from rlseq.rl.two_hot import symexp, symlog
from rlseq.types import PyTree
from rlseq.world_models.coders import (
    KEPT,
    ConvDecoder,
    ConvEncoder,
    GridDecoder,
    GridEncoder,
    PatchDecoder,
    PatchEncoder,
    VectorDecoder,
    from_patches,
    to_patches,
)
from rlseq.world_models.losses import bernoulli, squared

GRID = 16  # images up to this size are grids: MinAtar's are 10 x 10
GROUP = 8  # ours, images at a time on a CPU: what lies between two convolutions fits its caches


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
    preprocess: Callable[[PyTree], Array]  # [..., *obs] -> encoder input, loss target
    postprocess: Callable[[Array], Array]  # decoder output -> units of the space
    error: Callable[[Array, Array], Array]  # (decoder output, x) -> the loss of each number
    grouped: bool  # convolutions: `in_groups` pays


def make_autoencoder(
    space: Any,
    encoder: str,
    *,
    channels: tuple[int, ...],
    kernel: int,
    patch: int,
    widths: tuple[int, ...],
    dtype: str = "float32",
) -> Autoencoder:
    """The autoencoder of an observation space; `dtype` is of its products.

    `encoder` "conv" and "patch" are for images [H, W, C]; those of up to 16 x 16 positions take
    "grid" instead, and every other space takes "vector", which any space may.

    Raises InputError for sides that the encoder cannot divide and images without finite bounds.
    """
    encoder = encoder_of(space, encoder)
    if encoder == "vector":
        decoder = VectorDecoder(flat_size(space), widths[::-1], dtype)
        preprocess = partial(_flat_symlog, space)
        enter = NormedStack(widths, dtype=dtype)
        return Autoencoder(enter, decoder, preprocess, symexp, squared, grouped=False)
    top = _highest_value(space)
    preprocess, scaled_sigmoid = partial(_scaled, 1 / top), partial(_scaled_sigmoid, top)
    # Ours: a square behind a sigmoid has next to no gradient where a rare thing goes unseen, such
    # as the ball of a game on its one position of a hundred; hence `bernoulli` of all but "conv".
    if encoder == "grid":
        pair = GridEncoder(channels[0], dtype), GridDecoder(space.shape, channels[0], dtype)
        return Autoencoder(*pair, preprocess, scaled_sigmoid, bernoulli, grouped=False)
    if encoder == "patch":
        _check_sides(space, encoder, patch)
        number, size = math.prod(space.shape[:2]) // patch**2, patch**2 * space.shape[2]
        pair = PatchEncoder(widths, dtype), PatchDecoder(number, size, widths, dtype)
        # The loss compares patches: to put what the decoder says back into images, and its
        # gradient into patches, costs a third of an update. Bytes are cheaper to move.
        preprocess = partial(_in_patches, patch, 1 / top)
        postprocess = partial(_out_of_patches, patch, space.shape, top)
        return Autoencoder(*pair, preprocess, postprocess, bernoulli, grouped=False)
    _check_sides(space, encoder, 2 ** (len(channels) - 1))
    pair = ConvEncoder(channels, kernel, dtype), ConvDecoder(space.shape, channels, kernel, dtype)
    return Autoencoder(*pair, preprocess, partial(_scaled, top), squared, grouped=True)


def _flat_symlog(space: Any, x: PyTree) -> Array:
    return symlog(flatten(space, x))


def _scaled(factor: float, x: Array) -> Array:
    return x.astype(jnp.float32) * factor


def _scaled_sigmoid(factor: float, logits: Array) -> Array:
    return factor * jax.nn.sigmoid(logits)


def _in_patches(patch: int, factor: float, x: Array) -> Array:
    return _scaled(factor, to_patches(patch, x))


def _out_of_patches(patch: int, shape: tuple[int, ...], factor: float, logits: Array) -> Array:
    return from_patches(patch, shape, _scaled_sigmoid(factor, logits))


def encoder_of(space: Any, wanted: str) -> str:
    """Which encoder a space gets. Raises InputError for one of images on another space."""
    image = isinstance(space, spaces.Box) and len(space.shape) == 3
    if not image:
        if wanted == "grid":
            raise InputError(f"encoder 'grid' needs images [H, W, C], got {describe(space)}")
        return "vector"
    small = max(space.shape[:2]) <= GRID
    return "grid" if small and wanted in ("conv", "patch") else wanted


def _check_sides(space: spaces.Box, encoder: str, divisor: int) -> None:
    height, width, _ = space.shape
    if height % divisor or width % divisor:
        raise InputError(
            f"encoder {encoder!r} divides both sides of an image by {divisor}, which {height} x "
            f"{width} do not: choose another size of frames, or world_model.channels or .patch"
        )


def _highest_value(space: spaces.Box) -> float:
    low, high = float(jnp.min(jnp.asarray(space.low))), float(jnp.max(jnp.asarray(space.high)))
    if low < 0 or not 0 < high < math.inf:
        raise InputError(f"an image's values lie between 0 and a bound, got {low} to {high}")
    return high
