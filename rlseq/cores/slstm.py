"""sLSTM (Beck et al. 2405.04517): an LSTM with exponential gates, normalised; scans.sequential.

c[t] = f[t] c[t-1] + i[t] tanh(z[t]), n[t] = f[t] n[t-1] + i[t] and h[t] = sigma(o[t]) c[t] / n[t],
with i = exp(~i) and f = sigma(~f), the gates from x[t], of which a causal convolution goes to ~i
and ~f, and from h[t-1] of their own head (equations 8 to 18). c and n are held relative to e^m[t],
m[t] = max(m[t-1] + log f[t], ~i[t]), so that no exponent is above 0.
"""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from rlseq.cores.lstm import check_heads, recurrent_shape
from rlseq.cores.mlstm import normalise_heads
from rlseq.cores.options import AutoHeads, Dtype, Features, Kernel, MatmulDtype, Slope
from rlseq.nn.causal_conv import CausalConv
from rlseq.nn.projection import dense, project
from rlseq.scans.sequential import additive, clear, recurrent_product, recurrent_scan
from rlseq.scans.softmax import NEVER
from rlseq.types import Carry

HEADS = 4  # xLSTM
NARROWEST = 8  # ours: the norm of a head leaves little of fewer cells, and of two only a sign


def slstm_step(
    state: tuple[Array, Array, Array], gates: Array, h: Array
) -> tuple[tuple[Array, Array, Array], Array]:
    """(c, n, m) and h after a step with the gates [~i, ~f, z, o].

    An empty cell is n = 0 with any m: after a step n is at least 1. Of its m nothing is read, so
    that the state of a fresh episode can be zeros. h does not depend on m, which is therefore a
    constant for gradients.
    """
    c, n, m = state
    i, f, z, o = jnp.split(gates, 4, axis=-1)
    kept = jnp.where(n == 0, NEVER, m) + jax.nn.log_sigmoid(f)
    m = lax.stop_gradient(jnp.maximum(kept, i))
    keep, write = jnp.exp(kept - m), jnp.exp(i - m)
    c = keep * c + write * jnp.tanh(z)
    n = keep * n + write
    return (c, n, m), jax.nn.sigmoid(o) * c / n


slstm_gates = additive(slstm_step)


class SLSTM(nn.Module):
    """A layer of cells in heads; the carry is the window [B, conv - 1, features] and (c, n, m, h).

    The four are [B, features]. An input of another width is projected first. Raises InputError for
    heads that do not divide `features`.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    # xLSTM's block; its feed-forward part has a residual of its own there. It mixes the heads.
    block: ClassVar[dict] = {"layers": 2, "norm": "pre", "residual": True, "mixer": "glu"}

    features: Features
    heads: AutoHeads = 0  # 0 is 4, as in xLSTM; 2 or 1 where they do not divide or are too narrow
    conv: Kernel = 4  # xLSTM
    forget_slope: Slope = 0.3  # xLSTM, first block; 1.6 in the last: see `forget_bias`
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projections; "" is `dtype`

    def __post_init__(self) -> None:
        if self.heads:
            check_heads("slstm", self.features, self.heads)
        super().__post_init__()

    def _heads(self) -> int:
        wide = [h for h in (HEADS, 2) if not self.features % h and self.features >= NARROWEST * h]
        return self.heads or (wide[0] if wide else 1)

    def setup(self) -> None:
        n, heads, dtype = self.features, self._heads(), jnp.dtype(self.dtype)
        self.project = dense(n, dtype=self.dtype, matmul_dtype=self.matmul_dtype)
        self.window = CausalConv(n, self.conv, dtype=self.dtype)
        size = n // heads
        start = nn.initializers.normal((2 / 5 / n) ** 0.5)  # xLSTM's "small" one
        self.maps = self.param("maps", start, (4, heads, size, size), dtype)
        shape = recurrent_shape(n, 4, heads)
        self.recurrent = self.param("recurrent", nn.initializers.zeros, shape, dtype)  # xLSTM
        self.bias = self.param("bias", self._initial_bias, (4 * n,), self.dtype)
        self.scale = self.param("scale", nn.initializers.ones, (n,), dtype)

    def init_carry(self, batch: int) -> Carry:
        """Zeros: the window and (c, n, m, h); n = 0 says that a cell is empty."""
        zero = jnp.zeros((batch, self.features), self.dtype)
        window = jnp.zeros((batch, self.conv - 1, self.features), self.dtype)
        return window, (zero, zero, zero, zero)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        window, (*others, h) = carry
        x = self._fit(x)
        window, mixed = self.window(window, x, reset)
        gates = self._read(x, mixed)
        weight, bias = self.recurrent, self.bias
        (others, h), y = recurrent_scan(slstm_gates, weight, bias, tuple(others), h, gates, reset)
        return (window, (*others, h)), self._finish(y)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        x = self._fit(x)
        window, mixed = self.window.step(carry[0], x, reset)
        c, n, m, h = clear(carry[1], self.init_carry(x.shape[0])[1], reset)
        product = recurrent_product(h, self.recurrent, self.bias)
        others, h = slstm_gates((c, n, m), self._read(x, mixed), product, h)
        return (window, (*others, h)), self._finish(h)

    def _fit(self, x: Array) -> Array:
        return x if x.shape[-1] == self.features else self.project(x)

    def _read(self, x: Array, mixed: Array) -> Array:
        """What the inputs add to [~i, ~f, z, o], [..., 4 features]; each head sees its own part."""
        mixed = nn.silu(mixed)
        parts = jnp.stack([mixed, mixed, x, x], axis=-2)
        parts = parts.reshape(*parts.shape[:-1], *self.maps.shape[1:3])
        out = project(parts, self.maps, self.matmul_dtype)
        return out.reshape(*x.shape[:-1], 4 * self.features)

    def _finish(self, h: Array) -> Array:
        heads = h.reshape(*h.shape[:-1], *self.maps.shape[1:3])
        return normalise_heads(heads).reshape(h.shape) * jnp.broadcast_to(self.scale, h.shape)

    def _initial_bias(self, key: Array, shape: tuple[int, ...], dtype: str) -> Array:
        n = self.features
        bias = forget_bias(n // self._heads(), self.forget_slope, dtype)
        return jnp.zeros(shape, dtype).at[n : 2 * n].set(jnp.tile(bias, self._heads()))


def forget_bias(size: int, slope: float, dtype: str) -> Array:
    """5 - 12 (j / (size - 1))^slope for cell j of a head: from keeping nearly all to hardly any."""
    values = 5 - 12 * (np.arange(size) / max(size - 1, 1)) ** slope
    return jnp.asarray(values, dtype)
