"""The affine scan h[t] = a[t] h[t-1] + b[t], restarted where reset.

One operator under every linear core. A reset is a zero transition chosen with `where`, so that it
also stops NaN, inf and gradients. The backward pass of a linear recurrence is the same recurrence
run from the end (lambda[t] = g[t] + a[t+1] lambda[t+1]), hence the only residual is the states.
Equations: Blelloch, "Prefix sums and their applications" (1990); Martin and Cundy 1709.04057.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.errors import unknown_name

METHODS = ("auto", "sequential", "associative", "chunked")
CHUNK = 32  # ours: about sqrt(1024), the depth of the two loops is then equal at T = 1024


def affine_scan(
    decay: Array, drive: Array, carry: Array, reset: Array, *, method: str = "auto"
) -> tuple[Array, Array]:
    """States of h[t] = decay[t] h[t-1] + drive[t] from h[-1] = carry; h[t-1] is 0 where reset[t].

    Args:
        decay: [*N], constant over time and batch, or [T, B, *N]; real or complex.
        drive: [T, B, *N], the same dtype.
        carry: [B, *N], the same dtype.
        reset: [T, B] bool.
        method: "sequential" is one loop of T steps, "associative" a parallel prefix, "chunked" two
            loops of about sqrt(T) steps; "auto" takes the first on a CPU, where it is fastest and
            smallest, and the second elsewhere.

    Returns:
        The last state [B, *N] and all states [T, B, *N].

    Raises:
        ValueError: shapes or dtypes that do not fit together.
        InputError: an unknown method.
    """
    _check(decay, drive, carry, reset)
    states: Any = _scan(decay, drive, carry, reset, resolve(method))
    return (states[-1] if states.shape[0] else carry), states


def resolve(method: str) -> str:
    """The method that "auto" stands for on this backend; InputError for an unknown one."""
    if method not in METHODS:
        raise unknown_name("scan method", method, METHODS)
    if method != "auto":
        return method
    return "sequential" if jax.default_backend() == "cpu" else "associative"


def compose(first: tuple[Array, Array], then: tuple[Array, Array]) -> tuple[Array, Array]:
    """The associative operator on (decay, drive); a zero decay lets not even NaN through."""
    (a1, b1), (a2, b2) = first, then
    through = jnp.where(a2 == 0, 0, a2 * jnp.where(a2 == 0, 0, b1))
    return jnp.where(a2 == 0, 0, a1 * a2), through + b2


def _check(decay: Array, drive: Array, carry: Array, reset: Array) -> None:
    if reset.dtype != jnp.bool_ or reset.shape != drive.shape[:2]:
        raise ValueError(f"reset must be bool {drive.shape[:2]}, got {reset.dtype} {reset.shape}")
    if decay.shape not in (drive.shape, drive.shape[2:]):
        raise ValueError(f"decay must be {drive.shape} or {drive.shape[2:]}, got {decay.shape}")
    if carry.shape != drive.shape[1:]:
        raise ValueError(f"carry must be {drive.shape[1:]}, got {carry.shape}")
    if not decay.dtype == drive.dtype == carry.dtype:
        raise ValueError(f"dtypes differ: {decay.dtype=}, {drive.dtype=}, {carry.dtype=}")


@partial(jax.custom_vjp, nondiff_argnums=(4,))
def _scan(decay: Array, drive: Array, carry: Array, reset: Array, method: str) -> Array:
    if method == "sequential":
        return _sequential(decay, drive, carry, reset)
    masked = _masked(decay, drive, reset)
    if method == "associative":
        return lax.associative_scan(compose, (masked, _fold_carry(masked, drive, carry)))[1]
    return _chunked(masked, drive, carry)


def _scan_forward(decay, drive, carry, reset, method):
    states = _scan(decay, drive, carry, reset, method)
    return states, (decay, states, carry, reset)


def _scan_backward(method, residual, g):
    decay, states, carry, reset = residual
    if method == "sequential":
        d_decay, d_drive, d_carry = _sequential_backward(decay, states, carry, reset, g)
    else:
        d_decay, d_drive, d_carry = _parallel_backward(decay, states, carry, reset, g, method)
    return d_decay, d_drive, d_carry, None


_scan.defvjp(_scan_forward, _scan_backward)


def _sequential(decay: Array, drive: Array, carry: Array, reset: Array) -> Array:
    constant = decay.ndim == carry.ndim - 1

    def body(h, inputs):
        a, b, r = inputs
        kept = jnp.where(_expand(r, h), 0, h)
        h = (jnp.expand_dims(decay, 0) if constant else a) * kept + b
        return h, h

    return lax.scan(body, carry, (None if constant else decay, drive, reset))[1]


def _sequential_backward(decay, states, carry, reset, g):
    """One loop from the end; the gradient of a constant decay is summed on the way."""
    constant = decay.ndim == carry.ndim - 1

    def body(loop, inputs):
        through, total = loop  # through: what flows from step t into h[t-1]
        t, a, g_t, r = inputs
        adjoint = g_t + through
        previous = lax.dynamic_index_in_dim(states, jnp.maximum(t - 1, 0), keepdims=False)
        previous = jnp.where(t == 0, carry, previous)
        masked = _expand(r, carry)
        a = jnp.expand_dims(decay, 0) if constant else a
        d_decay = jnp.where(masked, 0, adjoint * jnp.where(masked, 0, previous))
        through = jnp.where(masked, 0, a * adjoint)
        total, d_decay = (total + d_decay, None) if constant else (total, d_decay)
        return (through, total), (adjoint, d_decay)

    times = jnp.arange(g.shape[0])
    total = jnp.zeros_like(carry) if constant else None
    inputs = (times, None if constant else decay, g, reset)
    loop = (jnp.zeros_like(carry), total)
    (d_carry, summed), (d_drive, d_decay) = lax.scan(body, loop, inputs, reverse=True)
    return (d_decay if summed is None else summed.sum(0)), d_drive, d_carry


def _parallel_backward(decay, states, carry, reset, g, method):
    masked = _masked(decay, g, reset)
    later = jnp.concatenate([masked[1:], jnp.zeros_like(masked[:1])])
    never = jnp.zeros_like(reset)
    flipped: Any = _scan(later[::-1], g[::-1], jnp.zeros_like(carry), never, method)
    adjoint = flipped[::-1]
    previous = jnp.concatenate([carry[None], states[:-1]])
    r = _expand(reset, previous)
    d_decay = jnp.where(r, 0, adjoint * jnp.where(r, 0, previous))
    d_carry = jnp.where(r[0], 0, masked[0] * adjoint[0])
    return (d_decay.sum((0, 1)) if decay.ndim < g.ndim else d_decay), adjoint, d_carry


def _chunked(decay: Array, drive: Array, carry: Array) -> Array:
    """A short loop inside all chunks at once, then one over the chunks; decay holds the resets."""
    length = drive.shape[0]
    size = min(CHUNK, max(length, 1))
    padding = [(0, -length % size)] + [(0, 0)] * (drive.ndim - 1)
    split = (-1, size, *drive.shape[1:])
    decay = jnp.moveaxis(jnp.pad(decay, padding, constant_values=1).reshape(split), 1, 0)
    drive = jnp.moveaxis(jnp.pad(drive, padding).reshape(split), 1, 0)

    def inside(element, inputs):
        element = compose(element, inputs)
        return element, element

    empty = (jnp.ones_like(decay[0]), jnp.zeros_like(drive[0]))
    (whole_decay, whole_drive), (decays, drives) = lax.scan(inside, empty, (decay, drive))

    def across(h, inputs):
        return compose((h, h), inputs)[1], h

    _, entering = lax.scan(across, carry, (whole_decay, whole_drive))
    entering = jnp.broadcast_to(entering, drives.shape)
    states = compose((entering, entering), (decays, drives))[1]
    return jnp.moveaxis(states, 0, 1).reshape(-1, *carry.shape)[:length]


def _fold_carry(masked: Array, drive: Array, carry: Array) -> Array:
    """The carry enters through the first drive, so the length stays T."""
    if not drive.shape[0]:
        return drive
    return drive.at[0].set(compose((carry, carry), (masked[0], drive[0]))[1])


def _masked(decay: Array, drive: Array, reset: Array) -> Array:
    return jnp.where(_expand(reset, drive), 0, jnp.broadcast_to(decay, drive.shape))


def _expand(reset: Array, like: Array) -> Array:
    return reset.reshape(reset.shape + (1,) * (like.ndim - reset.ndim))
