"""ParaLSTM (ParaRNN, 2510.21450): an LSTM with a diagonal recurrence, in parallel; scans.newton.

f = sigma(a_f h[t-1] + p_f c[t-1] + W_f x[t] + b_f), c[t] = f c[t-1] + (1 - f) n with
n = tanh(a_n h[t-1] + W_n x[t] + b_n); o = sigma(a_o h[t-1] + p_o c[t] + W_o x[t] + b_o) and
h[t] = o tanh(c[t]), with one number a unit in every a and p: input and forget gate are coupled.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.para import ParaRNN
from rlseq.scans.newton import Cell


def para_lstm_cell(weights: Array, x: Array, state: Array) -> Array:
    """weights [5, N], x [B, 3 N], state (c, h) [B, 2, N] -> state [B, 2, N]."""
    a_f, a_n, a_o, p_f, p_o = jnp.expand_dims(weights, 1)
    x_f, x_n, x_o = jnp.split(x, 3, axis=-1)
    c, h = state[:, 0], state[:, 1]
    f = jax.nn.sigmoid(x_f + a_f * h + p_f * c)
    c = f * c + (1 - f) * jnp.tanh(x_n + a_n * h)
    o = jax.nn.sigmoid(x_o + a_o * h + p_o * c)
    return jnp.stack([c, o * jnp.tanh(c)], axis=1)


class ParaLSTM(ParaRNN):
    """A layer of LSTM cells whose units do not see one another; the carry is [B, 2, features].

    Its two numbers a unit are c and h.
    """

    cell: ClassVar[Cell] = staticmethod(para_lstm_cell)
    weights: ClassVar[int] = 5
    states: ClassVar[int] = 2
    spread: ClassVar[float] = 1.0  # ParaRNN's for para_gru, mirrored: f is what is kept
