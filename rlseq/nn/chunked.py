"""A layer over chunks of its sequence: the backward pass computes each chunk again.

A core's sequence equals that of its parts with the carry handed on, so this is exact. What it
saves is everything that a layer would keep for its backward pass but the carries between chunks.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from rlseq.scans.chunks import chunk_size
from rlseq.types import Carry


def in_chunks(
    layer: nn.Module, run: Callable, carry: Carry, x: Array, reset: Array
) -> tuple[Carry, Array]:
    """`run(layer, carry, x, reset) -> (carry, y)` over x [T, B, D] and reset bool [T, B].

    Full chunks go through one loop; what is left of the sequence, or all of a short one, goes
    through `run` at once.
    """
    size = chunk_size()
    whole = x.shape[0] - x.shape[0] % size
    if not whole:
        return run(layer, carry, x, reset)
    chunks = tuple(a[:whole].reshape(-1, size, *a.shape[1:]) for a in (x, reset))
    carry, y = _loop(run)(layer, carry, *chunks)
    y = y.reshape(whole, *y.shape[2:])
    if whole == x.shape[0]:
        return carry, y
    carry, rest = run(layer, carry, x[whole:], reset[whole:])
    return carry, jnp.concatenate([y, rest])


def _loop(run: Callable) -> Callable[..., Any]:
    again: Any = nn.remat(run, prevent_cse=False)
    return nn.scan(again, variable_broadcast="params", split_rngs={"params": False})
