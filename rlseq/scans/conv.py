"""Depthwise causal convolution whose window of past inputs is carried and stops at resets.

y[t] = sum_j weight[j] x[t - j] over the steps t - j of x[t]'s own episode: what Mamba (2312.00752),
xLSTM (2405.04517) and the delta-rule cores put before their recurrence.
"""

import jax.numpy as jnp
from jax import Array


def causal_conv(x: Array, weight: Array, window: Array, reset: Array) -> tuple[Array, Array]:
    """The whole sequence at once.

    Args:
        x: [T, B, C].
        weight: [K, C]; weight[j] multiplies x[t - j].
        window: [B, K - 1, C], the inputs before x[0], oldest first.
        reset: [T, B] bool.

    Returns:
        The next window [B, K - 1, C], zero where an input belongs to an ended episode, and
        y [T, B, C].

    Raises:
        ValueError: shapes that do not fit together.
    """
    _check(x, weight, window)
    length, past = x.shape[0], window.shape[1]
    inputs = jnp.concatenate([jnp.moveaxis(window, 1, 0), x])
    episode = jnp.cumsum(jnp.pad(reset, ((past, 0), (0, 0))), axis=0, dtype=jnp.int32)[..., None]
    now = episode[past:]
    y = jnp.zeros_like(x)
    for j in range(past + 1):
        at = slice(past - j, past - j + length)
        same = now == episode[at]
        y = y + jnp.where(same, inputs[at], 0) * jnp.expand_dims(weight[j], (0, 1))
    if not past:
        return window, y
    last = jnp.where(episode[length:] == episode[-1:], inputs[length:], 0)
    return jnp.moveaxis(last, 0, 1), y


def conv_step(x: Array, weight: Array, window: Array, reset: Array) -> tuple[Array, Array]:
    """One step: x [B, C], weight [K, C], window [B, K - 1, C], reset [B] -> (window, y [B, C])."""
    _check(x, weight, window)
    window = jnp.where(reset[:, None, None], 0, window)
    inputs = jnp.concatenate([window, x[:, None]], axis=1)
    return inputs[:, 1:], jnp.einsum("bkc,kc->bc", inputs, jnp.flip(weight, 0))


def _check(x: Array, weight: Array, window: Array) -> None:
    wanted = (x.shape[-2], weight.shape[0] - 1, weight.shape[1])
    if window.shape != wanted or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"x {x.shape} and weight {weight.shape} need a window {wanted}, got {window.shape}"
        )
