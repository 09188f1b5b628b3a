"""Affine scans of one input and one output a channel: convolutions in chunks, states between.

h[t] = e^z h[t-1] + f x[t], y[t] = 2 Re(c h[t]), restarted where reset, with N complex states for
each of D channels. The states are 2 N times wider than x and y, so they exist only where one chunk
ends and the next begins. Inside a chunk y is x convolved with 2 Re(c f e^{l z}) (Gu et al.
2206.11893, equation 4), of which a step sees its own episode alone.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from rlseq.scans.chunks import chunk_size, same_episode
from rlseq.scans.faults import contain, mark
from rlseq.scans.rotation import rotate, to_pairs


class Tables(NamedTuple):
    """What the chunks share, for the lags l = 0 .. Q - 1; pairs are real and imaginary parts."""

    kernel: Array  # [Q, D] 2 Re(c f e^{l z}): what x[t-l] adds to y[t]
    read: Array  # [Q, D, 2, N] of 2 c e^{(l+1) z}: Re(c h) as a real product with h
    write: Array  # [Q, D, 2, N] f e^{l z}: what x[t-l] adds to h[t]
    decay: Array  # [Q, 2, D N] e^{(l+1) z}


def kernel_scan(
    z: Array, factor: Array, c: Array, x: Array, carry: Array, reset: Array
) -> tuple[Array, Array]:
    """All outputs y[t] = 2 Re(c h[t]) from h[-1] = carry; h[t-1] is 0 where reset[t].

    Args:
        z, factor, c: [D, N] complex; the real part of z is negative.
        x: [T, B, D].
        carry: [B, 2, D N], real and imaginary parts.
        reset: [T, B] bool.

    Returns:
        The last state [B, 2, D N] and y [T, B, D].

    Raises:
        ValueError: shapes or dtypes that do not fit together.
    """
    _check(z, x, carry, reset)
    length, size = len(x), min(chunk_size(), len(x))
    if not length:
        return carry, x
    (x,), carry, reached = contain((x,), carry, reset)
    tables = _tables(z, factor, c, size)
    whole = length // size
    chunks = (leaf[: whole * size].reshape(whole, size, *leaf.shape[1:]) for leaf in (x, reset))
    inside = jax.checkpoint(partial(_chunk, tables), prevent_cse=False)
    carry, y = lax.scan(inside, carry, tuple(chunks))
    y = y.reshape(-1, *x.shape[1:])
    if whole * size < length:
        short = jax.tree.map(lambda table: table[: length % size], tables)
        carry, rest = _chunk(short, carry, (x[whole * size :], reset[whole * size :]))
        y = jnp.concatenate([y, rest])
    return mark(carry, y, reached)


def _tables(z: Array, factor: Array, c: Array, size: int) -> Tables:
    lags = np.arange(size + 1, dtype=z.dtype)[:, None, None]
    powers = jnp.exp(z[None] * lags)
    kernel = 2 * ((c * factor)[None] * powers[:-1]).real.sum(-1)
    read, write = 2 * c[None] * powers[1:], factor[None] * powers[:-1]
    decay = to_pairs(powers[1:].reshape(size, -1))
    return Tables(kernel, to_pairs(read.conj()), to_pairs(write), decay)


def _chunk(tables: Tables, carry: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
    """x [Q, B, D] and reset [Q, B] after a carry [B, 2, D N]; `episode` counts the resets."""
    x, reset = inputs
    episode = jnp.cumsum(reset, axis=0, dtype=jnp.int32)
    first, last = ((episode == e)[..., None] for e in (0, episode[-1:]))
    state = carry.reshape(*carry.shape[:2], x.shape[-1], -1)
    entering = jnp.einsum("qdpn,bpdn->qbd", tables.read, state)
    y = _convolve(tables.kernel, x, episode) + jnp.where(first, entering, 0)
    written = jnp.einsum("qdpn,qbd->bpdn", tables.write[::-1], jnp.where(last, x, 0))
    kept = jnp.where(first[-1][..., None], carry, 0)
    real, imag = tables.decay[-1]
    return rotate(real, imag, kept) + written.reshape(carry.shape), y


def _convolve(kernel: Array, x: Array, episode: Array) -> Array:
    """sum over j <= i of kernel[i - j] x[j], of the same episode: [Q, B, D]."""
    steps = np.arange(len(x))
    lags = np.maximum(steps[:, None] - steps, 0)
    seen = jnp.moveaxis(same_episode(episode), 0, 2)[..., None]  # [Q, Q, B, 1]
    return jnp.where(seen, kernel[lags][:, :, None] * x[None], 0).sum(1)


def _check(z: Array, x: Array, carry: Array, reset: Array) -> None:
    length, batch, channels = x.shape
    if reset.dtype != jnp.bool_ or reset.shape != (length, batch):
        raise ValueError(f"reset must be bool {x.shape[:2]}, got {reset.dtype} {reset.shape}")
    if z.shape[0] != channels:
        raise ValueError(f"z must have the {channels} channels of x, got {z.shape}")
    if carry.shape != (batch, 2, z.size):
        raise ValueError(f"carry must be {(batch, 2, z.size)}, got {carry.shape}")
    if len({z.real.dtype, x.dtype, carry.dtype}) > 1:
        raise ValueError(f"dtypes differ: {z.dtype=}, {x.dtype=}, {carry.dtype=}")
