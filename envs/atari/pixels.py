"""Shrinking frames inside jit, to the pixels of OpenCV's INTER_AREA or Pillow's BILINEAR.

Both filters are separable, so a frame is shrunk by two matmuls.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

NATIVE = (210, 160)  # height and width of what the emulator draws
BITS = 22  # of Pillow's weights


def shrink(frames: jax.Array, size: int, resize: str) -> jax.Array:
    """uint8 [R, stack, 210, 160(, 3)] -> uint8 [R, stack, size, size(, 3)].

    "area" is INTER_AREA, to the bit at size 64; where many values end on exactly a half, as at
    84, OpenCV rounds one in ten thousand to the other side. "triangle" is BILINEAR to the bit.
    """
    if resize == "area":
        rows, columns = (jnp.asarray(area(n, size)) for n in NATIVE)
        x = _over_rows(rows, _over_columns(columns, frames.astype(jnp.float32)))
        return jnp.clip(jnp.round(x), 0, 255).astype(jnp.uint8)
    rows, columns = (triangle(n, size) for n in NATIVE)
    x = _fixed_point(_over_columns, columns, frames)  # Pillow works on columns first
    return _fixed_point(_over_rows, rows, x).astype(jnp.uint8)


def _over_columns(weights: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.einsum("wj,rshj...->rshw...", weights, x, precision=jax.lax.Precision.HIGHEST)


def _over_rows(weights: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.einsum("hi,rsi...->rsh...", weights, x, precision=jax.lax.Precision.HIGHEST)


def _fixed_point(apply: Any, weights: np.ndarray, x: jax.Array) -> jax.Array:
    """Weights of BITS bits on 0 .. 255, rounded as Pillow does: int32.

    A float32 holds 24 bits of a sum, so the two halves of each weight are summed apart: exactly.
    """
    whole = np.floor(weights * 2.0**BITS + 0.5).astype(np.int64)
    half = BITS // 2
    high, low = (
        apply(jnp.asarray(part.astype(np.float32)), x.astype(jnp.float32)).astype(jnp.int32)
        for part in (whole >> half, whole & (2**half - 1))
    )
    return (high * 2**half + low + 2 ** (BITS - 1)) >> BITS


def area(old: int, new: int) -> np.ndarray:
    """float32 [new, old]: the share that each old pixel has in a new one."""
    scale = old / new
    low = np.arange(new)[:, None] * scale
    pixel = np.arange(old)[None]
    covered = np.minimum(low + scale, pixel + 1) - np.maximum(low, pixel)
    return (np.maximum(covered, 0) / scale).astype(np.float32)


def triangle(old: int, new: int) -> np.ndarray:
    """float64 [new, old]: a triangle over two new pixels around each new one's centre."""
    scale = old / new
    centre = (np.arange(new)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(old)[None] + 0.5 - centre) / scale
    weights = np.maximum(1 - distance, 0)
    return weights / weights.sum(1, keepdims=True)
