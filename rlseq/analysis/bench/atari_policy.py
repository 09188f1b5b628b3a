"""A small convolutional policy, the same inside a jitted rollout and in a loop around emulators."""

import jax
import jax.numpy as jnp

from rlseq.types import Params

# Mnih et al. 2015 (Nature 518), half as wide: channels, window, stride of each convolution.
LAYERS = ((16, 8, 4), (32, 4, 2), (32, 3, 1))
HIDDEN = 128


def init_policy(key: jax.Array, num_actions: int) -> Params:
    """Weights for uint8 frames [B, 64, 64, 3]."""
    keys = jax.random.split(key, len(LAYERS) + 2)
    kernels, channels = [], 3
    for layer, (width, window, _) in zip(keys, LAYERS, strict=False):
        fan_in = channels * window * window
        shape = (window, window, channels, width)
        kernels.append(jax.random.normal(layer, shape) / jnp.sqrt(jnp.float32(fan_in)))
        channels = width
    flat = 4 * 4 * channels  # 64 -> 15 -> 6 -> 4 pixels a side
    hidden = jax.random.normal(keys[-2], (flat, HIDDEN)) / jnp.sqrt(jnp.float32(flat))
    out = jax.random.normal(keys[-1], (HIDDEN, num_actions)) / jnp.sqrt(jnp.float32(HIDDEN))
    return {"kernels": kernels, "hidden": hidden, "out": out}


def sample(params: Params, frames: jax.Array, key: jax.Array) -> jax.Array:
    """Actions int32 [B] for frames uint8 [B, 64, 64, 3]."""
    x = frames.astype(jnp.float32) / 255
    layout = ("NHWC", "HWIO", "NHWC")
    for kernel, (_, _, stride) in zip(params["kernels"], LAYERS, strict=True):
        strides = (stride, stride)
        x = jax.lax.conv_general_dilated(x, kernel, strides, "VALID", dimension_numbers=layout)
        x = jax.nn.relu(x)
    x = jax.nn.relu(x.reshape(len(x), -1) @ params["hidden"])
    return jax.random.categorical(key, x @ params["out"]).astype(jnp.int32)
