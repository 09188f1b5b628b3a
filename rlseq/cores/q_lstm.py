"""qLSTM (Sieber et al. 2405.15731): an LSTM whose gates see the input only; scans.affine.

u[t] = conv(W_u x)[t], [i, f, o] = W u[t] + b, h[t] = sigma(f) h[t-1] + sigma(i) u[t],
y[t] = W_y (sigma(o) h[t] gelu(W_g x[t])), `expansion` times wider inside.
"""

from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Bias, Dtype, Expand, Features, Kernel, MatmulDtype
from rlseq.fields import OneOf
from rlseq.nn.causal_conv import CausalConv
from rlseq.nn.projection import Projection
from rlseq.scans.affine import METHODS, affine_scan
from rlseq.types import Carry


class QLSTM(nn.Module):
    """One qLSTM layer; the carry is (window [B, conv - 1, N], h [B, N]), N = expansion features."""

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = METHODS
    block: ClassVar[dict] = {"layers": 2, "residual": True}

    features: Features
    expansion: Expand = 2  # the paper's code
    conv: Kernel = 4  # the paper's code
    forget_bias: Bias = 1.0  # as in our LSTM; the paper's code starts at 0
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projections; "" is `dtype`

    def setup(self) -> None:
        n = self.expansion * self.features
        dtypes: dict[str, Any] = {"dtype": self.dtype, "matmul_dtype": self.matmul_dtype}
        self.inputs = Projection(2 * n, use_bias=False, **dtypes)
        self.window = CausalConv(n, self.conv, dtype=self.dtype)
        self.gates = Projection(3 * n, bias_init=self._initial_bias, **dtypes)
        self.output = Projection(self.features, use_bias=False, **dtypes)

    def init_carry(self, batch: int) -> Carry:
        """Zeros: (window [batch, conv - 1, N], h [batch, N])."""
        n = self.expansion * self.features
        window = jnp.zeros((batch, self.conv - 1, n), self.dtype)
        return window, jnp.zeros((batch, n), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        window, h = carry
        u, side = jnp.split(self.inputs(x), 2, axis=-1)
        window, u = self.window(window, u, reset)
        keep, drive, out = self._gated(u)
        h, states = affine_scan(keep, drive, h, reset, method=self.method)
        return (window, h), self._close(states, out, side)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        window, h = carry
        u, side = jnp.split(self.inputs(x), 2, axis=-1)
        window, u = self.window.step(window, u, reset)
        keep, drive, out = self._gated(u)
        h = keep * jnp.where(reset[:, None], 0, h) + drive
        return (window, h), self._close(h, out, side)

    def _gated(self, u: Array) -> tuple[Array, Array, Array]:
        i, f, o = jnp.split(self.gates(u), 3, axis=-1)
        return nn.sigmoid(f), nn.sigmoid(i) * u, o

    def _close(self, h: Array, out: Array, side: Array) -> Array:
        # Their inputs are all that the backward pass keeps of these products.
        return self.output(_gated_output(h, out, side))

    def _initial_bias(self, key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        n = self.expansion * self.features
        return jnp.zeros(shape, dtype).at[n : 2 * n].set(self.forget_bias)


@jax.checkpoint
def _gated_output(h: Array, out: Array, side: Array) -> Array:
    return nn.sigmoid(out) * h * nn.gelu(side)
