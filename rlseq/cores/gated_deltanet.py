"""Gated DeltaNet (Yang et al. 2412.06464): a memory that decays, and replaces what a key held.

Every head keeps S[t] = a[t] S[t-1] + k[t] (b[t] (v[t] - a[t] S[t-1]^T k[t]))^T and reads
y[t] = S[t]^T q[t] / sqrt(K), with keys and queries of length 1, a[t] = exp(-A softplus(w x[t] +
c)) and b[t] = sigma(u x[t]). scans.delta, between projections, convolution and gate of figure 1.
"""

import math
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Dtype, Expand, Features, Kernel, MatmulDtype, Size, StepSize
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
from rlseq.scans.delta import METHODS, delta_scan, delta_step
from rlseq.types import Carry

HEAD = 32  # ours, for widths of 64 to 256; the paper's language models: 256
SMALLEST = 1e-6  # added to a squared length, as in the authors' code


def unit(x: Array) -> Array:
    """x [..., K] divided by its length."""
    return x * jax.lax.rsqrt((x**2).sum(-1, keepdims=True) + SMALLEST)


class GatedDeltaNet(nn.Module):
    """One layer; the carry is the window of the convolution and the state of every head.

    The window is [B, conv - 1, (2 + expand) features] and the state [B, heads, head, expand head].
    Raises InputError where `features` does not divide into heads.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = METHODS
    block: ClassVar[dict] = {"layers": 2, "norm": "pre", "residual": True}  # as around mamba2

    features: Features
    head: Size = 0  # width of a key; 0 is 32, or the largest divisor of it that divides features
    expand: Expand = 2  # the paper's; width of a value over that of a key
    conv: Kernel = 4  # the paper's
    allow_neg_eigval: bool = False  # b up to 2: a state can turn its sign (2411.12537)
    step_min: StepSize = 0.001  # Mamba-2; initial step sizes are log-uniform between these
    step_max: StepSize = 0.1
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projections; "" is dtype

    def __post_init__(self) -> None:
        check_head_width("gated_deltanet", self.features, self.head, self._head())
        check_step_range("gated_deltanet", self.step_min, self.step_max)
        super().__post_init__()

    def _head(self) -> int:
        return self.head or math.gcd(HEAD, self.features)

    def setup(self) -> None:
        heads = self.features // self._head()
        dense: dict[str, Any] = {"use_bias": False, "matmul_dtype": self.matmul_dtype}
        mixed, inner = (2 + self.expand) * self.features, self.expand * self.features
        self.inputs = Projection(mixed + inner + 2 * heads, dtype=self.dtype, **dense)
        self.window = CausalConv(mixed, self.conv, use_bias=False, dtype=self.dtype)
        # As in mamba2; the authors' code draws from [0, 16].
        self.rate = self.param("rate", log_decay_rate, (heads,), self.dtype)
        self.step_bias = self.param(
            "step_bias", step_bias, (heads,), self.dtype, self.step_min, self.step_max
        )
        self.norm = rms_norm(self.dtype)
        self.output = Projection(self.features, dtype=self.dtype, **dense)

    def init_carry(self, batch: int) -> Carry:
        """Zeros: the window and the state [batch, heads, head, expand head]."""
        head = self._head()
        window = jnp.zeros((batch, self.conv - 1, (2 + self.expand) * self.features), self.dtype)
        shape = (batch, self.features // head, head, self.expand * head)
        return window, jnp.zeros(shape, self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        return in_chunks(self, GatedDeltaNet._through, carry, x, reset)

    def _through(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        window, state = carry
        mixed, z, beta, decay = self._split(x)
        window, mixed = self.window(window, mixed, reset)
        read = self._heads(mixed)
        state, y = delta_scan(*read, beta, decay, state, reset, method=self.method)
        return (window, state), self._finish(y, z)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        window, state = carry
        mixed, z, beta, decay = self._split(x)
        window, mixed = self.window.step(window, mixed, reset)
        state, y = delta_step(*self._heads(mixed), beta, decay, state, reset)
        return (window, state), self._finish(y, z)

    def _split(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """What is convolved, the gate z, b and log a [..., heads]."""
        heads = self.features // self._head()
        mixed, inner = (2 + self.expand) * self.features, self.expand * self.features
        cuts = [mixed, mixed + inner, mixed + inner + heads]
        mixed, z, beta, step = jnp.split(self.inputs(x), cuts, axis=-1)
        step = step_size(step, self.step_bias)
        decay = -step * jnp.broadcast_to(jnp.exp(self.rate), step.shape)
        return mixed, z, jax.nn.sigmoid(beta) * (2 if self.allow_neg_eigval else 1), decay

    def _heads(self, mixed: Array) -> tuple[Array, Array, Array]:
        """q and k [..., heads, head] and v [..., heads, expand head]."""
        heads = self.features // self._head()
        q, k, v = jnp.split(nn.silu(mixed), [self.features, 2 * self.features], axis=-1)
        q, k, v = (x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads) for x in (q, k, v))
        return unit(q) * self._head() ** -0.5, unit(k), v

    def _finish(self, y: Array, z: Array) -> Array:
        return self.output(self.norm(y).reshape(z.shape) * nn.silu(z))
