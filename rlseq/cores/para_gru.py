"""ParaGRU (ParaRNN, 2510.21450): a GRU with a diagonal recurrence, in parallel; scans.newton.

[z, r] = sigma(a h[t-1] + W x[t] + b), n = tanh(a_n (r h[t-1]) + W_n x[t] + b_n),
h[t] = (1 - z) h[t-1] + z n, with one number a unit in every a.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.para import ParaRNN
from rlseq.scans.newton import Cell


def para_gru_cell(weights: Array, x: Array, h: Array) -> Array:
    """weights [3, N], x [B, 3 N], h [B, 1, N] -> h [B, 1, N]."""
    a_z, a_r, a_n = jnp.expand_dims(weights, 1)
    x_z, x_r, x_n = jnp.split(x, 3, axis=-1)
    h = h[:, 0]
    z = jax.nn.sigmoid(x_z + a_z * h)
    n = jnp.tanh(x_n + a_n * (jax.nn.sigmoid(x_r + a_r * h) * h))
    return ((1 - z) * h + z * n)[:, None]


class ParaGRU(ParaRNN):
    """A layer of GRU cells whose units do not see one another; the carry is h [B, 1, features]."""

    cell: ClassVar[Cell] = staticmethod(para_gru_cell)
    weights: ClassVar[int] = 3
    states: ClassVar[int] = 1
    spread: ClassVar[float] = -1.0  # ParaRNN's: most units keep more than they take
