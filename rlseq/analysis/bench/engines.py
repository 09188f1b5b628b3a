"""Typical inputs of the scans that have several methods, for `rlseq bench choices`."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.scans import affine, delta, newton, ssd

BATCH = 16
MATRIX = 32  # rows and columns of a head's state


class Engine(NamedTuple):
    """A scan: its methods, inputs for (length, size), and how to call it."""

    methods: tuple[str, ...]
    sizes: tuple[int, ...]  # elements of the state over the batch: small, usual and large
    inputs: Callable[[int, int], tuple[Array, ...]]  # each [T, B, ...] or a carry after the first
    run: Callable[..., Array]  # (*inputs, reset, method=...) -> the outputs of all steps


def _affine_inputs(length: int, size: int) -> tuple[Array, ...]:
    batch = min(BATCH, size)
    keys = jax.random.split(jax.random.key(0), 3)
    shape = (length, batch, -(-size // batch))
    decay = jax.random.uniform(keys[0], shape, minval=0.8, maxval=0.999)
    return decay, jax.random.normal(keys[1], shape), jax.random.normal(keys[2], shape[1:])


def _affine(decay: Array, drive: Array, carry: Array, reset: Array, *, method: str) -> Array:
    return affine.affine_scan(decay, drive, carry, reset, method=method)[1]


def _ssd_inputs(length: int, size: int) -> tuple[Array, ...]:
    """One or more heads with square states, keys and queries shared by the heads."""
    batch = min(BATCH, size)
    width = max(1, min(MATRIX, math.isqrt(size // batch)))
    heads = max(1, size // (batch * width * width))
    keys = jax.random.split(jax.random.key(0), 5)
    shared = (length, batch, 1, width)
    q, k = jax.random.normal(keys[0], shared), jax.random.normal(keys[1], shared)
    v = jax.random.normal(keys[2], (length, batch, heads, width))
    log_decay = -jax.random.uniform(keys[3], (length, batch, heads), maxval=0.2)
    return q, k, v, log_decay, jax.random.normal(keys[4], (batch, heads, width, width))


def _ssd(
    q: Array, k: Array, v: Array, log_decay: Array, carry: Array, reset: Array, *, method: str
) -> Array:
    return ssd.ssd_scan(q, k, v, log_decay, carry, reset, method=method)[1]


def _delta_inputs(length: int, size: int) -> tuple[Array, ...]:
    """As for `ssd`, with keys and queries of length 1 for every head and half of a value kept."""
    q, k, v, log_decay, carry = _ssd_inputs(length, size)
    q, k = (
        jnp.broadcast_to(x / jnp.linalg.norm(x, axis=-1, keepdims=True), v.shape) for x in (q, k)
    )
    return q, k, v, jnp.full_like(log_decay, 0.5), log_decay, carry


def _delta(
    q: Array,
    k: Array,
    v: Array,
    beta: Array,
    log_decay: Array,
    carry: Array,
    reset: Array,
    *,
    method: str,
) -> Array:
    return delta.delta_scan(q, k, v, beta, log_decay, carry, reset, method=method)[1]


def _newton_inputs(length: int, size: int) -> tuple[Array, ...]:
    """One number a unit and recurrent weights of a fresh core: a few iterations are enough."""
    batch = min(BATCH, size)
    keys = jax.random.split(jax.random.key(0), 2)
    shape = (length, batch, 1, -(-size // batch))
    return jax.random.normal(keys[0], shape), jax.random.normal(keys[1], shape[1:])


def _gated(weight: Array, x: Array, h: Array) -> Array:
    z = jax.nn.sigmoid(x + weight * h)
    return (1 - z) * h + z * jnp.tanh(weight * h - x)


def _newton(x: Array, carry: Array, reset: Array, *, method: str) -> Array:
    weight = jnp.asarray(0.1, x.dtype)
    return newton.newton_scan(_gated, weight, x, carry, reset, method=method)[1]


VECTORS, MATRICES = (128, 2048, 32768), (4096, 65536, 524288)
ENGINES = {
    "affine": Engine(affine.METHODS, VECTORS, _affine_inputs, _affine),
    "delta": Engine(delta.METHODS, MATRICES, _delta_inputs, _delta),
    "newton": Engine(newton.METHODS, VECTORS, _newton_inputs, _newton),
    "ssd": Engine(ssd.METHODS, MATRICES, _ssd_inputs, _ssd),
}
