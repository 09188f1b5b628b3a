"""M2RNN (2603.14360): a non-linear RNN whose state is a matrix a head; scans.sequential.

N[t] = tanh(H[t-1] W + k[t] v[t]^T), H[t] = f[t] H[t-1] + (1 - f[t]) N[t] and
y[t] = H[t]^T q[t] + D v[t]; all heads share q and k, which follow a causal convolution as v does,
and f[t] = exp(-A softplus(w x[t] + b)) is one number a head.
"""

import math
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax

from rlseq.cores.options import Dtype, Expand, Features, Kernel, MatmulDtype, Size, State, StepSize
from rlseq.cores.selective import (
    check_head_width,
    check_step_range,
    log_decay_rate,
    rms_norm,
    step_bias,
    step_size,
)
from rlseq.nn.causal_conv import CausalConv
from rlseq.nn.chunked import in_chunks
from rlseq.nn.projection import Projection
from rlseq.types import Carry

HEAD = 16  # the paper's width of a value


def matrix_step(
    weight: Array, state: Array, k: Array, v: Array, keep: Array, reset: Array
) -> Array:
    """H[t] [H, B, K, V] from weight [H, V, V], k [B, K], v [H, B, V], keep [H, B], reset [B]."""
    state = jnp.where(reset[None, :, None, None], 0, state)
    write = k[None, :, :, None] * v[:, :, None]
    heads, batch, rows, width = state.shape
    # One matmul a head: rows of the whole batch at once.
    product = jnp.matmul(state.reshape(heads, batch * rows, width), weight)
    new = jnp.tanh(product.reshape(state.shape) + write)
    keep = keep[..., None, None]
    return keep * state + (1 - keep) * new


def identity(key: Array, shape: tuple[int, int, int], dtype: str) -> Array:
    """One identity matrix a head."""
    return jnp.broadcast_to(jnp.eye(shape[-1], dtype=dtype), shape)


class M2RNN(nn.Module):
    """One layer; the carry is the window of the convolution and the state of every head.

    The window is [B, conv - 1, 2 key + inner] and the state [B, heads, key, head], where inner is
    expand * features. Raises InputError where that does not divide into heads.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 2, "norm": "pre", "residual": True}  # as around mamba2

    features: Features
    key: State = 16  # rows of a state, ours; the paper's language models: 64
    head: Size = 0  # width of a head; 0 is 16, the paper's, or the largest divisor of it that fits
    expand: Expand = 1  # ours
    conv: Kernel = 4  # the paper's
    step_min: StepSize = 0.001  # as in mamba2: initial decays a step, log-uniform between these
    step_max: StepSize = 0.1
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projections; "" is dtype

    def __post_init__(self) -> None:
        inner = self.expand * self.features
        check_head_width("m2rnn", inner, self.head, self._head())
        check_step_range("m2rnn", self.step_min, self.step_max)
        super().__post_init__()

    def _head(self) -> int:
        return self.head or math.gcd(HEAD, self.expand * self.features)

    def setup(self) -> None:
        inner = self.expand * self.features
        heads = inner // self._head()
        dense: dict[str, Any] = {"use_bias": False, "matmul_dtype": self.matmul_dtype}
        width = 2 * inner + 2 * self.key + heads
        self.inputs = Projection(width, dtype=self.dtype, **dense)
        self.window = CausalConv(2 * self.key + inner, self.conv, dtype=self.dtype)
        self.weight = self.param(
            "weight", identity, (heads, self._head(), self._head()), self.dtype
        )
        self.rate = self.param("rate", log_decay_rate, (heads,), self.dtype)
        self.step_bias = self.param(
            "step_bias", step_bias, (heads,), self.dtype, self.step_min, self.step_max
        )
        self.skip = self.param("skip", nn.initializers.ones, (inner,), jnp.dtype(self.dtype))
        self.norm = rms_norm(self.dtype)
        self.output = Projection(self.features, dtype=self.dtype, **dense)

    def init_carry(self, batch: int) -> Carry:
        """Zeros: the window [batch, conv - 1, C] and the state [batch, heads, key, head]."""
        inner, head = self.expand * self.features, self._head()
        window = jnp.zeros((batch, self.conv - 1, 2 * self.key + inner), self.dtype)
        return window, jnp.zeros((batch, inner // head, self.key, head), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        return in_chunks(self, M2RNN._through, carry, x, reset)

    def _through(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        window, state = carry
        z, mixed, keep = self._split(x)
        window, mixed = self.window(window, mixed, reset)
        q, k, v = self._parts(mixed)
        weight = self.weight

        def body(state, inputs):
            q, k, v, keep, reset = inputs
            state = matrix_step(weight, state, k, v, keep, reset)
            return state, (state * q[None, :, :, None]).sum(2)

        inputs = (q, k, self._by_head(v), jnp.moveaxis(keep, -1, -2), reset)
        state, y = lax.scan(body, jnp.moveaxis(state, 1, 0), inputs)
        return (window, jnp.moveaxis(state, 0, 1)), self._finish(y, v, z)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        window, state = carry
        z, mixed, keep = self._split(x)
        window, mixed = self.window.step(window, mixed, reset)
        q, k, v = self._parts(mixed)
        state = jnp.moveaxis(state, 1, 0)
        state = matrix_step(self.weight, state, k, self._by_head(v), keep.T, reset)
        y = (state * q[None, :, :, None]).sum(2)
        return (window, jnp.moveaxis(state, 0, 1)), self._finish(y, v, z)

    def _split(self, x: Array) -> tuple[Array, Array, Array]:
        """The gate z, what is convolved, and f [..., heads]."""
        inner = self.expand * self.features
        z, mixed, step = jnp.split(self.inputs(x), [inner, 2 * inner + 2 * self.key], axis=-1)
        step = step_size(step, self.step_bias)
        return z, mixed, jnp.exp(-step * jnp.broadcast_to(jnp.exp(self.rate), step.shape))

    def _parts(self, mixed: Array) -> tuple[Array, Array, Array]:
        """q and k [..., key], v [..., inner]."""
        q, k, v = jnp.split(nn.silu(mixed), [self.key, 2 * self.key], axis=-1)
        return q, k, v

    def _by_head(self, v: Array) -> Array:
        """[..., B, inner] -> [..., heads, B, head]."""
        heads = v.shape[-1] // self._head()
        return jnp.moveaxis(v.reshape(*v.shape[:-1], heads, self._head()), -2, -3)

    def _finish(self, y: Array, v: Array, z: Array) -> Array:
        y = jnp.moveaxis(y, -3, -2).reshape(v.shape)
        y = y + v * jnp.expand_dims(self.skip, tuple(range(v.ndim - 1)))
        return self.output(self.norm(y * nn.silu(z)))
