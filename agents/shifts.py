"""Random shifts of images (Kostrikov et al. 2004.13649, section 3.1)."""

import jax
import jax.numpy as jnp
from jax import Array, lax


def random_shift(key: Array, images: Array, most: int) -> Array:
    """Images [T, B, H, W, C] moved by up to `most` pixels each way, edges repeated beyond them.

    All T of a sequence are moved alike.
    """
    steps, count, height, width, channels = images.shape
    sides = (most, most)
    padded = jnp.pad(images, ((0, 0), (0, 0), sides, sides, (0, 0)), mode="edge")
    offset = jax.random.randint(key, (count, 2), 0, 2 * most + 1, jnp.int32)
    zero = jnp.zeros((), jnp.int32)

    def crop(sequence_and_corner: tuple[Array, Array]) -> Array:
        sequence, corner = sequence_and_corner
        start = (zero, corner[0], corner[1], zero)
        return lax.dynamic_slice(sequence, start, (steps, height, width, channels))

    pairs = jnp.moveaxis(padded, 1, 0), offset
    # On CPUs one after another: crops of many at once are fused with what reads them, and XLA then
    # asks for every pixel anew where it comes from, which takes four times as long.
    cropped = lax.map(crop, pairs) if jax.default_backend() == "cpu" else jax.vmap(crop)(pairs)
    return jnp.moveaxis(cropped, 0, 1)
