"""Shrinking frames inside jit, to the pixels of OpenCV's INTER_AREA or Pillow's BILINEAR.

Both filters are separable, so a frame is shrunk by two matmuls.
"""

import jax
import jax.numpy as jnp
import numpy as np

NATIVE = (210, 160)  # height and width of what the emulator draws


def shrink(frames: jax.Array, size: int, resize: str) -> jax.Array:
    """uint8 [R, stack, 210, 160(, 3)] -> uint8 [R, stack, size, size(, 3)].

    `resize` is "area" (INTER_AREA to the bit) or "triangle" (BILINEAR, a level off in 4 of a
    million values, because Pillow counts in fixed point).
    """
    weights = area if resize == "area" else triangle
    rows, columns = (jnp.asarray(weights(n, size)) for n in NATIVE)
    x = frames.astype(jnp.float32)
    high = jax.lax.Precision.HIGHEST
    # Pillow works on columns first and rounds in between; OpenCV rounds once.
    x = jnp.einsum("wj,rshj...->rshw...", columns, x, precision=high)
    if resize == "triangle":
        x = jnp.round(x)
    x = jnp.einsum("hi,rsi...->rsh...", rows, x, precision=high)
    return jnp.clip(jnp.round(x), 0, 255).astype(jnp.uint8)


def area(old: int, new: int) -> np.ndarray:
    """float32 [new, old]: the share that each old pixel has in a new one."""
    scale = old / new
    low = np.arange(new)[:, None] * scale
    pixel = np.arange(old)[None]
    covered = np.minimum(low + scale, pixel + 1) - np.maximum(low, pixel)
    return (np.maximum(covered, 0) / scale).astype(np.float32)


def triangle(old: int, new: int) -> np.ndarray:
    """float32 [new, old]: a triangle over two new pixels around each new one's centre."""
    scale = old / new
    centre = (np.arange(new)[:, None] + 0.5) * scale
    distance = np.abs(np.arange(old)[None] + 0.5 - centre) / scale
    weights = np.maximum(1 - distance, 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
