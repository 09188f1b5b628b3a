"""LSTM (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000); scans.sequential."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Bias, Dtype, Features, Heads, MatmulDtype
from rlseq.cores.recurrence import Recurrence
from rlseq.errors import InputError
from rlseq.nn.initialisers import orthogonal
from rlseq.nn.projection import dense
from rlseq.scans.sequential import Gates, clear, recurrent_product, recurrent_scan, same
from rlseq.types import Carry


def lstm_forward(c: Array, x: Array, product: Array, h: Array) -> tuple:
    """c' = sigma(f) c + sigma(i) tanh(z), h' = sigma(o) tanh(c'); [i, f, z, o] = x + product."""
    i, f, z, o = jnp.split(x + product, 4, axis=-1)
    i, f, z, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(z), jax.nn.sigmoid(o)
    new = f * c + i * z
    shown = jnp.tanh(new)
    return (new, o * shown), (c, i, f, z, o, shown)


def lstm_backward(kept: tuple, g: tuple) -> tuple:
    """Gradients of (c, x, h); h counts by way of the product only."""
    (c, i, f, z, o, shown), (g_c, g_h) = kept, g
    g_c = g_c + g_h * o * (1 - shown * shown)
    d_i, d_f = g_c * z * i * (1 - i), g_c * c * f * (1 - f)
    d_z, d_o = g_c * i * (1 - z * z), g_h * shown * o * (1 - o)
    return g_c * f, jnp.concatenate([d_i, d_f, d_z, d_o], axis=-1), jnp.zeros_like(g_h)


lstm_gates = Gates(lstm_forward, lstm_backward, same)


class LSTM(nn.Module):
    """A layer of LSTM cells; the carry is (c, h), each [B, features].

    Raises InputError for heads that do not divide `features`.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 1}

    features: Features
    forget_bias: Bias = 1.0  # Jozefowicz et al. 2015, section 5: keeps early gradients alive
    heads: Heads = 1  # blocks of the recurrent matrix, one a head (FlashRNN, 2412.07752)
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projection of inputs; "" is `dtype`

    def __post_init__(self) -> None:
        check_heads("lstm", self.features, self.heads)
        super().__post_init__()

    def setup(self) -> None:
        n = self.features
        self.inputs = dense(4 * n, use_bias=False, dtype=self.dtype, matmul_dtype=self.matmul_dtype)
        shape = recurrent_shape(n, 4, self.heads)
        self.recurrent = self.param("recurrent", orthogonal_gates, shape, self.dtype)
        self.bias = self.param("bias", self._initial_bias, (4 * n,), self.dtype)

    @property
    def recurrence(self) -> Recurrence | None:
        """A unit is a cell; a matrix in blocks, one a head, has no one axis of them."""
        axes = {"inputs/kernel": -1, "recurrent": -1, "bias": -1}
        return Recurrence(axes, self.features, diagonal=False) if self.heads == 1 else None

    def init_carry(self, batch: int) -> Carry:
        """Zeros: (c, h), each [batch, features]."""
        zero = jnp.zeros((batch, self.features), self.dtype)
        return zero, zero

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        c, h = carry
        x = self.inputs(x)
        return recurrent_scan(lstm_gates, self.recurrent, self.bias, c, h, x, reset)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        c, h = clear(carry, self.init_carry(x.shape[0]), reset)
        product = recurrent_product(h, self.recurrent, self.bias)
        c, h = lstm_gates(c, self.inputs(x), product, h)
        return (c, h), h

    def _initial_bias(self, key: Array, shape: tuple[int, ...], dtype: str) -> Array:
        n = self.features
        return jnp.zeros(shape, dtype).at[n : 2 * n].set(self.forget_bias)


def check_heads(name: str, features: int, heads: int) -> None:
    """Raises InputError for heads that do not divide the features."""
    if features % heads:
        raise InputError(f"{name}: features {features} do not divide into {heads} heads")


def recurrent_shape(size: int, gates: int, heads: int) -> tuple[int, ...]:
    """The recurrent matrix's shape in `recurrent_scan`: one dense matrix, or a block a head."""
    if heads == 1:
        return size, gates * size
    return heads, size // heads, gates, size // heads


def orthogonal_gates(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """One orthogonal matrix a gate, side by side; with heads one a head and gate."""
    make = orthogonal()
    if len(shape) == 2:
        n, total = shape
        keys = jax.random.split(key, total // n)
        return jnp.concatenate([make(k, (n, n), jnp.dtype(dtype)) for k in keys], axis=1)
    heads, size, gates, _ = shape
    keys = jax.random.split(key, heads * gates)
    blocks = jax.vmap(lambda k: make(k, (size, size), jnp.dtype(dtype)))(keys)
    return jnp.moveaxis(blocks.reshape(heads, gates, size, size), 1, 2)
