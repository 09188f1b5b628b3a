"""mLSTM (Beck et al. 2405.04517): an LSTM whose cell is a matrix, written by keys; scans.ssd.

C[t] = f[t] C[t-1] + i[t] v[t] k[t]^T, n[t] = f[t] n[t-1] + i[t] k[t] and
h[t] = C[t] q[t] / max(|n[t] q[t]|, 1) for each head, with i = exp(w_i x + b_i) and f = sigma(w_f x
+ b_f), between the block's projections, its convolution and its gate (figure 11).
"""

from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlseq.cores.options import AutoHeads, Blocks, Dtype, Expand, Features, Kernel, MatmulDtype
from rlseq.errors import InputError
from rlseq.fields import OneOf
from rlseq.nn.causal_conv import CausalConv
from rlseq.nn.chunked import in_chunks
from rlseq.nn.projection import Projection, project
from rlseq.scans.exponential import METHODS, Matrix, empty, exponential_scan, exponential_step
from rlseq.types import Carry

HEADS = 4  # xLSTM
EPSILON = 1e-5  # of the norm of every head, as in xLSTM's code


def forget_bias(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """From 3 to 6 over the heads, as in xLSTM: at first nearly all is kept."""
    return jnp.asarray(np.linspace(3.0, 6.0, shape[0]), dtype)


def normalise_heads(h: Array) -> Array:
    """h [..., heads, P] with mean 0 and variance 1 in every head."""
    centred = h - h.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + EPSILON)


class MLSTM(nn.Module):
    """One block; the carry is the window [B, conv - 1, inner] and the matrices of all heads.

    inner is expand * features; each head's matrix has inner / heads rows and one column more.
    Raises InputError where inner does not divide into heads or blocks.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = METHODS
    block: ClassVar[dict] = {"layers": 2, "norm": "pre", "residual": True}  # xLSTM's block

    features: Features
    heads: AutoHeads = 0  # 0 is 4, as in xLSTM, or 1 where 4 does not divide the width
    expand: Expand = 2  # xLSTM
    conv: Kernel = 4  # xLSTM
    block_size: Blocks = 4  # xLSTM; rows of the block-diagonal maps to queries, keys and values
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projections; "" is dtype

    def __post_init__(self) -> None:
        inner = self.expand * self.features
        for what, size in (("heads", self._heads()), ("blocks of block_size", self.block_size)):
            if inner % size:
                raise InputError(f"mlstm: a width of {inner} does not divide into {what}: {size}")
        super().__post_init__()

    def _heads(self) -> int:
        return self.heads or (1 if self.expand * self.features % HEADS else HEADS)

    def setup(self) -> None:
        inner, heads, dtype = self.expand * self.features, self._heads(), jnp.dtype(self.dtype)
        dtypes: dict[str, Any] = {"dtype": self.dtype, "matmul_dtype": self.matmul_dtype}
        self.inputs = Projection(2 * inner, use_bias=False, **dtypes)
        self.output = Projection(self.features, use_bias=False, **dtypes)
        self.window = CausalConv(inner, self.conv, dtype=self.dtype)
        blocks = (3, inner // self.block_size, self.block_size, self.block_size)
        start = nn.initializers.normal((2 / 5 / self.block_size) ** 0.5)  # xLSTM's "small" one
        self.maps = self.param("maps", start, blocks, dtype)
        zeros = nn.initializers.zeros
        self.gates = self.param("gates", zeros, (3 * inner, 2 * heads), dtype)
        self.write_bias = self.param("write_bias", nn.initializers.normal(0.1), (heads,), dtype)
        self.forget_bias = self.param("forget_bias", forget_bias, (heads,), self.dtype)
        self.scale = self.param("scale", nn.initializers.ones, (inner,), dtype)
        self.skip = self.param("skip", nn.initializers.ones, (inner,), dtype)

    def init_carry(self, batch: int) -> Carry:
        """The window of zeros and empty matrices."""
        inner, heads = self.expand * self.features, self._heads()
        window = jnp.zeros((batch, self.conv - 1, inner), self.dtype)
        return window, empty(batch, heads, inner // heads, inner // heads, self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        return in_chunks(self, MLSTM._through, carry, x, reset)

    def _through(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        value, z = jnp.split(self.inputs(x), 2, axis=-1)
        window, key = self.window(carry[0], value, reset)
        key = nn.silu(key)
        state = Matrix(*carry[1])
        state, h = exponential_scan(*self._read(key, value), state, reset, method=self.method)
        return (window, state), self._finish(h, key, z)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        value, z = jnp.split(self.inputs(x), 2, axis=-1)
        window, key = self.window.step(carry[0], value, reset)
        key = nn.silu(key)
        state, h = exponential_step(*self._read(key, value), Matrix(*carry[1]), reset)
        return (window, state), self._finish(h, key, z)

    def _read(self, key: Array, value: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Queries, keys and values [..., heads, P], log f and log i [..., heads]."""
        q, k = self._map(0, key), self._map(1, key)
        v = self._map(2, value)
        gates = project(jnp.concatenate([q, k, v], axis=-1), self.gates, self.matmul_dtype)
        bias = jnp.concatenate([self.write_bias, self.forget_bias])
        write, forget = jnp.split(gates + jnp.broadcast_to(bias, gates.shape), 2, axis=-1)
        shape = (*key.shape[:-1], self._heads(), key.shape[-1] // self._heads())
        q, k, v = (x.reshape(shape) for x in (q, k, v))
        return q, k * k.shape[-1] ** -0.5, v, jax.nn.log_sigmoid(forget), write

    def _map(self, i: int, x: Array) -> Array:
        blocks = x.reshape(*x.shape[:-1], *self.maps.shape[1:3])
        return project(blocks, self.maps[i], self.matmul_dtype).reshape(x.shape)

    def _finish(self, h: Array, key: Array, z: Array) -> Array:
        """The norm of every head, the skip around the memory, the gate."""
        h = normalise_heads(h).reshape(z.shape)
        scale, skip = (jnp.broadcast_to(w, z.shape) for w in (self.scale, self.skip))
        return self.output((h * scale + skip * key) * nn.silu(z))
