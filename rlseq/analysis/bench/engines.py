"""Typical inputs of the scans that have several methods, for `rlseq bench choices`."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import Array

from rlseq.scans import affine

BATCH = 16


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


SIZES = (128, 2048, 32768)
ENGINES = {"affine": Engine(affine.METHODS, SIZES, _affine_inputs, _affine)}
