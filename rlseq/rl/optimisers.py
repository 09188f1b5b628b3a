"""Optimisers that optax lacks, composed of its parts.

optax's bias correction needs standard dtype promotion around `update`.
"""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rlseq.types import Params, PyTree


def laprop(
    lr: float,
    *,
    warmup: int = 0,
    max_grad_norm: float = 0.0,
    weight_decay: float = 0.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-20,
) -> optax.GradientTransformation:
    """LaProp (Ziyin et al. 2002.04839): gradients are scaled first and averaged then.

    n <- b2 n + (1 - b2) g^2;  m <- b1 m + (1 - b1) g / (sqrt(n / (1 - b2^t)) + eps);
    p <- p - lr m / (1 - b1^t) - weight_decay p

    Args:
        lr: the learning rate after `warmup` updates that rise linearly to it.
        warmup: 0 starts with all of it.
        max_grad_norm: of all gradients together; 0 is off.
        weight_decay: what every update takes away of every parameter, not scaled by lr, as Drama
            does; 0 is off.
        b1, b2, eps: defaults as in DreamerV3 and Drama.
    """
    rate = optax.linear_schedule(0.0, lr, warmup) if warmup else lr
    parts = [
        optax.scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        optax.ema(b1, debias=True),
        optax.scale_by_learning_rate(rate),
    ]
    if max_grad_norm:
        parts.insert(0, optax.clip_by_global_norm(max_grad_norm))
    if weight_decay:
        parts.append(optax.stateless(_shrink(weight_decay)))
    return optax.chain(*parts)


def gradient_norm(gradients: PyTree) -> Array:
    """float32 []: the norm of all gradients together, whose dtypes may differ."""
    with jax.numpy_dtype_promotion("standard"):
        return optax.tree.norm(gradients).astype(jnp.float32)


def _shrink(weight_decay: float):
    def update(updates: PyTree, params: Params | None) -> PyTree:
        assert params is not None, "weight decay needs the parameters"
        return jax.tree.map(lambda u, p: u - weight_decay * p, updates, params)

    return update
