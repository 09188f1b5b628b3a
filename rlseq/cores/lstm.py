"""LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000); engine E5."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.nn.initialisers import orthogonal
from rlseq.scans.sequential import clear, recurrent_scan
from rlseq.types import Carry


def lstm_gates(c: Array, x: Array, product: Array, h: Array) -> tuple[Array, Array]:
    """c' = sigma(f) c + sigma(i) tanh(z), h' = sigma(o) tanh(c'); [i, f, z, o] = x + product."""
    i, f, z, o = jnp.split(x + product, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(z)
    return c, jax.nn.sigmoid(o) * jnp.tanh(c)


class LSTM(nn.Module):
    """A layer of LSTM cells; the carry is (c, h), each [B, features]."""

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 1}

    features: int
    forget_bias: float = 1.0  # Jozefowicz et al. 2015, section 5: keeps early gradients alive
    dtype: str = "float32"

    def setup(self) -> None:
        n = self.features
        self.inputs = nn.Dense(4 * n, use_bias=False, dtype=self.dtype, param_dtype=self.dtype)
        self.recurrent = self.param("recurrent", orthogonal_gates, (n, 4 * n), self.dtype)
        self.bias = self.param("bias", self._initial_bias, (4 * n,), self.dtype)

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
        product = h @ self.recurrent
        c, h = lstm_gates(c, self.inputs(x), product + jnp.expand_dims(self.bias, 0), h)
        return (c, h), h

    def _initial_bias(self, key: Array, shape: tuple[int, ...], dtype: str) -> Array:
        n = self.features
        return jnp.zeros(shape, dtype).at[n : 2 * n].set(self.forget_bias)


def orthogonal_gates(key: Array, shape: tuple[int, int], dtype: str) -> Array:
    """One orthogonal matrix a gate, side by side."""
    n, total = shape
    keys = jax.random.split(key, total // n)
    make = orthogonal()
    return jnp.concatenate([make(k, (n, n), jnp.dtype(dtype)) for k in keys], axis=1)
