"""Learning with eligibility traces whose steps never overshoot (Elsayed et al. 2410.14606)."""

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.types import PyTree


def accumulate(trace: PyTree, gradient: PyTree, decay: float) -> PyTree:
    """z <- decay z + gradient, leaf by leaf; decay is gamma lambda."""
    return jax.tree.map(lambda z, g: decay * z + g, trace, gradient)


def bounded_rate(trace: PyTree, delta: Array, *, lr: float, kappa: float) -> Array:
    """The step size [E] of ObGD, algorithm 3: lr, or less where its step might overshoot.

    min(lr, 1 / (kappa max(|delta|, 1) sum of |z|)) for each trace z, leaves [E, ...], and TD error
    delta float32 [E].
    """
    sizes = [jnp.abs(z).sum(range(1, z.ndim)) for z in jax.tree.leaves(trace)]
    bound = kappa * jnp.maximum(jnp.abs(delta), 1) * sum(sizes)
    return lr / jnp.maximum(lr * bound, 1)


def step(params: PyTree, trace: PyTree, amount: Array) -> PyTree:
    """params + the mean over E of amount [E] times trace, leaves [E, ...]."""

    def move(p: Array, z: Array) -> Array:
        mean = jnp.tensordot(amount.astype(z.dtype), z, 1) / amount.shape[0]
        return p + mean.astype(p.dtype)

    return jax.tree.map(move, params, trace)
