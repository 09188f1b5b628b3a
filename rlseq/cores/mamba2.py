"""Mamba-2 (Dao and Gu 2405.21060): a causal convolution, then linear attention that decays.

Every head h keeps S[t] = e^{A_h dt[t]} S[t-1] + B[t] (dt[t] x[t])^T and reads y[t] = S[t]^T C[t] +
D_h x[t]; B, C and the step size dt come from the input. scans.ssd; the memory of Drama's world
model (Wang et al. 2410.08893).
"""

from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Dtype, Expand, Features, Kernel, MatmulDtype, Size, State, StepSize
from rlseq.cores.selective import (
    check_head_width,
    check_step_range,
    log_decay_rate,
    rms_norm,
    step_bias,
    step_size,
)
from rlseq.fields import OneOf
from rlseq.nn.causal_conv import CausalConv
from rlseq.nn.chunked import in_chunks
from rlseq.nn.projection import Projection
from rlseq.scans.ssd import METHODS, ssd_scan, ssd_step
from rlseq.types import Carry

HEAD = 64  # Mamba-2 and Drama


class Mamba2(nn.Module):
    """One layer; the carry is the window of the convolution and the state of every head.

    The window is [B, conv - 1, inner + 2 state] and the state [B, heads, state, head], where inner
    is expand * features. Raises InputError where that does not divide into heads.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = METHODS
    block: ClassVar[dict] = {"layers": 2, "norm": "pre", "residual": True}  # Drama: 2 layers

    features: Features
    state: State = 16  # Drama; Mamba-2: 128
    head: Size = 0  # width of a head; 0 is 64, as in Mamba-2 and Drama, or all of a smaller layer
    expand: Expand = 2  # Mamba-2 and Drama
    conv: Kernel = 4  # Mamba-2 and Drama
    step_min: StepSize = 0.001  # Mamba-2; initial step sizes are log-uniform between these
    step_max: StepSize = 0.1
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projections; "" is dtype

    def __post_init__(self) -> None:
        inner = self.expand * self.features
        check_head_width("mamba2", inner, self.head, self._head())
        check_step_range("mamba2", self.step_min, self.step_max)
        super().__post_init__()

    def _head(self) -> int:
        return self.head or min(HEAD, self.expand * self.features)

    def setup(self) -> None:
        inner = self.expand * self.features
        heads = inner // self._head()
        dense: dict[str, Any] = {"use_bias": False, "matmul_dtype": self.matmul_dtype}
        self.inputs = Projection(2 * inner + 2 * self.state + heads, dtype=self.dtype, **dense)
        self.window = CausalConv(inner + 2 * self.state, self.conv, dtype=self.dtype)
        self.rate = self.param("rate", log_decay_rate, (heads,), self.dtype)
        self.step_bias = self.param(
            "step_bias", step_bias, (heads,), self.dtype, self.step_min, self.step_max
        )
        self.skip = self.param("skip", nn.initializers.ones, (heads, 1), jnp.dtype(self.dtype))
        self.norm = rms_norm(self.dtype)
        self.output = Projection(self.features, dtype=self.dtype, **dense)

    def init_carry(self, batch: int) -> Carry:
        """Zeros: the window [batch, conv - 1, C] and the state [batch, heads, state, head]."""
        inner, head = self.expand * self.features, self._head()
        window = jnp.zeros((batch, self.conv - 1, inner + 2 * self.state), self.dtype)
        return window, jnp.zeros((batch, inner // head, self.state, head), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        return in_chunks(self, Mamba2._through, carry, x, reset)

    def _through(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        window, state = carry
        z, mixed, step = self._split(x)
        window, mixed = self.window(window, mixed, reset)
        v, k, q = self._heads(mixed)
        drive = step[..., None] * v
        state, y = ssd_scan(q, k, drive, self._decay(step), state, reset, method=self.method)
        return (window, state), self._finish(y, v, z)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        window, state = carry
        z, mixed, step = self._split(x)
        window, mixed = self.window.step(window, mixed, reset)
        v, k, q = self._heads(mixed)
        drive = step[..., None] * v
        state, y = ssd_step(q[None], k[None], drive[None], self._decay(step), state, reset)
        return (window, state), self._finish(y[0], v, z)

    def _split(self, x: Array) -> tuple[Array, Array, Array]:
        """The gate z, what is convolved, and the step size [..., heads]."""
        inner = self.expand * self.features
        z, mixed, step = jnp.split(self.inputs(x), [inner, 2 * (inner + self.state)], axis=-1)
        return z, mixed, step_size(step, self.step_bias)

    def _heads(self, mixed: Array) -> tuple[Array, Array, Array]:
        """x [..., heads, head], then B and C [..., 1, state], which all heads share."""
        inner = self.expand * self.features
        x, k, q = jnp.split(nn.silu(mixed), [inner, inner + self.state], axis=-1)
        x = x.reshape(*x.shape[:-1], inner // self._head(), self._head())
        return x, k[..., None, :], q[..., None, :]

    def _decay(self, step: Array) -> Array:
        return step * jnp.expand_dims(-jnp.exp(self.rate), tuple(range(step.ndim - 1)))

    def _finish(self, y: Array, v: Array, z: Array) -> Array:
        y = y + v * jnp.expand_dims(self.skip, tuple(range(v.ndim - 2)))
        return self.output(self.norm(y.reshape(z.shape) * nn.silu(z)))
