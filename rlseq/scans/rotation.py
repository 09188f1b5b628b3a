"""The affine scan for a constant complex transition, with complex numbers as pairs of reals.

h[t] = a h[t-1] + b[t], where a pair [2, N] holds the real and the imaginary parts. The projections
around it are real matmuls whose outputs and inputs lie in memory as these pairs do, so no pass over
[T, B, N] is spent on packing complex numbers.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.scans.affine import affine_scan, resolve


def rotation_scan(
    real: Array, imag: Array, drive: Array, carry: Array, reset: Array, *, method: str = "auto"
) -> tuple[Array, Array]:
    """States of h[t] = (real + i imag) h[t-1] + drive[t]; h[t-1] is 0 where reset[t].

    Args:
        real, imag: [N], the transition.
        drive: [T, B, 2, N]; carry: [B, 2, N]; reset: [T, B] bool.
        method: as in `affine_scan`.

    Returns:
        The last state [B, 2, N] and all states [T, B, 2, N]. Raises as `affine_scan` does.
    """
    if resolve(method) == "sequential":
        states = _scan(real, imag, drive, carry, reset)
        return (states[-1] if states.shape[0] else carry), states
    complex_args = lax.complex(real, imag), to_complex(drive), to_complex(carry)
    last, states = affine_scan(*complex_args, reset, method=method)
    return to_pairs(last), to_pairs(states)


def rotate(real: Array, imag: Array, h: Array) -> Array:
    """(real + i imag) h for h [B, 2, N]."""
    turned = jnp.stack([-imag, imag])[None] * h[:, ::-1]
    return real[None, None] * h + turned


def to_complex(pairs: Array) -> Array:
    """[..., 2, N] real -> [..., N] complex."""
    return lax.complex(pairs[..., 0, :], pairs[..., 1, :])


def to_pairs(values: Array) -> Array:
    """[..., N] complex -> [..., 2, N] real."""
    return jnp.stack([values.real, values.imag], axis=-2)


@jax.custom_vjp
def _scan(real: Array, imag: Array, drive: Array, carry: Array, reset: Array) -> Array:
    def body(h, inputs):
        b, r = inputs
        h = rotate(real, imag, jnp.where(r[:, None, None], 0, h)) + b
        return h, h

    return lax.scan(body, carry, (drive, reset))[1]


def _forward(real, imag, drive, carry, reset):
    states = _scan(real, imag, drive, carry, reset)
    return states, (real, imag, states, carry, reset)


def _backward(residual, g):
    """The transposed recurrence from the end; the transition's gradient is summed on the way."""
    real, imag, states, carry, reset = residual
    body = partial(_backward_step, real, imag, states, carry)
    zero = jnp.zeros_like(carry)
    inputs = (jnp.arange(g.shape[0]), g, reset)
    (d_carry, straight, crossed), d_drive = lax.scan(body, (zero,) * 3, inputs, reverse=True)
    d_imag = crossed[:, 1].sum(0) - crossed[:, 0].sum(0)
    return straight.sum((0, 1)), d_imag, d_drive, d_carry, None


def _backward_step(real, imag, states, carry, loop, inputs):
    through, straight, crossed = loop  # through: what flows from step t into h[t-1]
    t, g, r = inputs
    adjoint = g + through
    previous = lax.dynamic_index_in_dim(states, jnp.maximum(t - 1, 0), keepdims=False)
    masked = r[:, None, None]
    previous = jnp.where(masked, 0, jnp.where(t == 0, carry, previous))
    kept = jnp.where(masked, 0, adjoint)
    loop = rotate(real, -imag, kept), straight + kept * previous, crossed + kept * previous[:, ::-1]
    return loop, adjoint


_scan.defvjp(_forward, _backward)
