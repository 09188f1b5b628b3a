"""What the chunked scans share: the loop over chunks and the decays inside one."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

CHUNK_CPU, CHUNK = 32, 64  # Mamba-3 and the delta rule have 64; a CPU's caches prefer less
# e^-100 is 0 beside any float32 of use, and sums over a chunk of larger numbers would lose digits.
LOWEST = -100.0


def chunk_size() -> int:
    """Steps in a chunk on this platform."""
    return CHUNK_CPU if jax.default_backend() == "cpu" else CHUNK


def scan_chunks(inside: Callable, carry: Array, inputs: tuple, length: int) -> tuple[Array, Array]:
    """A loop over chunks of steps; its backward pass keeps the carries between chunks alone.

    `inside(carry, chunk) -> (carry, y)`; inputs [T R, ...] with R rows a step, T = length >= 1. The
    last chunk is filled up with zeros. A sequence of one chunk is no loop.
    """
    size = chunk_size()
    if length <= size:
        return inside(carry, inputs)
    chunks = tuple(_split(x, size * (x.shape[0] // length)) for x in inputs)
    carry, y = lax.scan(jax.checkpoint(inside, prevent_cse=False), carry, chunks)
    y = y.reshape(-1, *y.shape[2:])
    return carry, y[: length * (y.shape[0] // (chunks[0].shape[0] * size))]


def episode_totals(log_decay: Array, reset: Array) -> tuple[Array, Array]:
    """Sums of the log-decays [Q, B, H] since each episode's start, and the episode's number [Q, B].

    A product with a mask and no cumulative sum over all steps: in a difference of two such sums
    what lies before the episode cancels but for rounding, which would be a gradient across resets.
    """
    episode = jnp.cumsum(reset, axis=0, dtype=jnp.int32)
    mask = same_episode(episode).astype(log_decay.dtype)
    total = jnp.maximum(log_decay, LOWEST)
    return jnp.einsum("bij,jbh->ibh", mask, total, precision=lax.Precision.HIGHEST), episode


def same_episode(episode: Array, *, before: bool = False) -> Array:
    """Whether step i sees step j, [B, Q, Q]: of its episode and not after it, or before it."""
    size = len(episode)
    earlier = np.tril(np.ones((1, size, size), bool), -1 if before else 0)
    return (episode.T[..., None] == jnp.expand_dims(episode.T, 1)) & earlier


def decays(total: Array, seen: Array) -> Array:
    """What is left at step i of what step j wrote, [B, H, Q, Q]; 0 where i does not see j."""
    total, seen = jnp.moveaxis(total, 0, 2), jnp.expand_dims(seen, 1)
    gap = jnp.where(seen, total[..., None] - total[..., None, :], 0)
    return jnp.where(seen, jnp.exp(gap), 0)


def _split(x: Array, size: int) -> Array:
    """[T, ...] -> [chunks, size, ...], filled up with zeros: they neither decay nor write."""
    padding = [(0, -x.shape[0] % size)] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, padding).reshape(-1, size, *x.shape[1:])
