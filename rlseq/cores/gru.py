"""GRU (Cho et al. 1406.1078) with the reset gate after the product; scans.sequential."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.lstm import check_heads, orthogonal_gates, recurrent_shape
from rlseq.cores.options import Dtype, Features, Heads, MatmulDtype
from rlseq.cores.recurrence import Recurrence
from rlseq.nn.projection import dense
from rlseq.scans.sequential import Gates, clear, recurrent_product, recurrent_scan
from rlseq.types import Carry


def gru_forward(others: tuple, x: Array, product: Array, h: Array) -> tuple:
    """h' = z h + (1 - z) n with r, z = sigma(x + product), n = tanh(x_n + r product_n)."""
    x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
    p_r, p_z, p_n = jnp.split(product, 3, axis=-1)
    r, z = jax.nn.sigmoid(x_r + p_r), jax.nn.sigmoid(x_z + p_z)
    n = jnp.tanh(x_n + r * p_n)
    return (others, z * h + (1 - z) * n), (h, r, z, n, p_n)


def gru_backward(kept: tuple, g: tuple) -> tuple:
    """Gradients of (others, x, h); of n before its tanh, d_n, that of r is d_n p_n."""
    (h, r, z, n, p_n), (d_others, g) = kept, g
    d_n = g * (1 - z) * (1 - n * n)
    d_x = jnp.concatenate([d_n * p_n * r * (1 - r), g * (h - n) * z * (1 - z), d_n], axis=-1)
    return d_others, d_x, g * z


def gru_by_product(kept: tuple, d_x: Array) -> Array:
    """That of x, times r in the part of n."""
    r = kept[1]
    gates, d_n = jnp.split(d_x, [2 * r.shape[-1]], axis=-1)
    return jnp.concatenate([gates, d_n * r], axis=-1)


gru_gates = Gates(gru_forward, gru_backward, gru_by_product)


class GRU(nn.Module):
    """A layer of GRU cells; the carry is h [B, features].

    Raises InputError for heads that do not divide `features`.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 1}

    features: Features
    heads: Heads = 1  # blocks of the recurrent matrix, one a head (FlashRNN, 2412.07752)
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projection of inputs; "" is `dtype`

    def __post_init__(self) -> None:
        check_heads("gru", self.features, self.heads)
        super().__post_init__()

    def setup(self) -> None:
        n = self.features
        zeros = nn.initializers.zeros
        self.inputs = dense(3 * n, dtype=self.dtype, matmul_dtype=self.matmul_dtype)
        shape = recurrent_shape(n, 3, self.heads)
        self.recurrent = self.param("recurrent", orthogonal_gates, shape, self.dtype)
        self.bias = self.param("bias", zeros, (3 * n,), self.dtype)

    @property
    def recurrence(self) -> Recurrence | None:
        """A unit is a cell; a matrix in blocks, one a head, has no one axis of them."""
        axes = {"inputs/kernel": -1, "inputs/bias": -1, "recurrent": -1, "bias": -1}
        return Recurrence(axes, self.features, diagonal=False) if self.heads == 1 else None

    def init_carry(self, batch: int) -> Carry:
        """Zeros [batch, features]."""
        return jnp.zeros((batch, self.features), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        x = self.inputs(x)
        (_, h), y = recurrent_scan(gru_gates, self.recurrent, self.bias, (), carry, x, reset)
        return h, y

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        h = clear(carry, self.init_carry(x.shape[0]), reset)
        product = recurrent_product(h, self.recurrent, self.bias)
        _, h = gru_gates((), self.inputs(x), product, h)
        return h, h
