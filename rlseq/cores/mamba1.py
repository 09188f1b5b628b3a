"""Mamba (Gu and Dao 2312.00752): a causal convolution, then states that the input steers.

Every channel d keeps N numbers h[t,n] = e^{A_n dt[t]} h[t-1,n] + dt[t] B_n[t] x[t] and reads
y[t] = sum_n C_n[t] h[t,n] + D x[t]; A, D and the step size dt are the channel's own, and dt, B and
C come from the input (S6, algorithm 2). scans.affine.
"""

from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlseq.cores.options import Dtype, Expand, Features, Kernel, MatmulDtype, Rank, State, StepSize
from rlseq.cores.selective import check_step_range, step_bias, step_size
from rlseq.fields import OneOf
from rlseq.nn.causal_conv import CausalConv
from rlseq.nn.chunked import in_chunks
from rlseq.nn.projection import Projection
from rlseq.scans.affine import METHODS, affine_scan
from rlseq.scans.reading import read
from rlseq.types import Carry

RANK = 16  # features for each rank of the step sizes' map, as in Mamba


def log_rates(key: Array, shape: tuple[int, int], dtype: str) -> Array:
    """log(-A) for A = -1 ... -N in every channel, [N, channels]: Mamba's, from S4D-Real."""
    rates = np.log(np.arange(1, shape[0] + 1))[:, None]
    return jnp.asarray(np.broadcast_to(rates, shape), dtype)


class Mamba1(nn.Module):
    """One layer; the carry is the window of the convolution and N numbers of every channel.

    The window is [B, conv - 1, inner] and the state [B, state, inner], where inner is expand *
    features. Raises InputError for step sizes out of order.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = METHODS
    block: ClassVar[dict] = {"layers": 2, "norm": "pre", "residual": True}  # as around mamba2

    features: Features
    state: State = 16  # Mamba
    expand: Expand = 2  # Mamba
    conv: Kernel = 4  # Mamba
    rank: Rank = 0  # of the map to the step sizes; 0 is features / 16, rounded up, as in Mamba
    step_min: StepSize = 0.001  # Mamba; initial step sizes are log-uniform between these
    step_max: StepSize = 0.1
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projections; "" is dtype

    def __post_init__(self) -> None:
        check_step_range("mamba1", self.step_min, self.step_max)
        super().__post_init__()

    def _rank(self) -> int:
        return self.rank or -(-self.features // RANK)

    def setup(self) -> None:
        inner, rank, dtype = self.expand * self.features, self._rank(), jnp.dtype(self.dtype)
        dense: dict[str, Any] = {"dtype": self.dtype, "matmul_dtype": self.matmul_dtype}
        self.inputs = Projection(2 * inner, use_bias=False, **dense)
        self.window = CausalConv(inner, self.conv, dtype=self.dtype)
        self.select = Projection(rank + 2 * self.state, use_bias=False, **dense)
        start = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # +-rank^-1/2, Mamba's
        self.steps = Projection(inner, use_bias=False, kernel_init=start, **dense)
        self.step_bias = self.param(
            "step_bias", step_bias, (inner,), self.dtype, self.step_min, self.step_max
        )
        self.rates = self.param("rates", log_rates, (self.state, inner), self.dtype)
        self.skip = self.param("skip", nn.initializers.ones, (inner,), dtype)
        self.output = Projection(self.features, use_bias=False, **dense)

    def init_carry(self, batch: int) -> Carry:
        """Zeros: the window [batch, conv - 1, inner] and the state [batch, state, inner]."""
        inner = self.expand * self.features
        window = jnp.zeros((batch, self.conv - 1, inner), self.dtype)
        return window, jnp.zeros((batch, self.state, inner), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        return in_chunks(self, Mamba1._through, carry, x, reset)

    def _through(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        window, state = carry
        u, z = jnp.split(self.inputs(x), 2, axis=-1)
        window, u = self.window(window, u, reset)
        u = nn.silu(u)
        decay, drive, c = self._select(u)
        state, h = affine_scan(decay, drive, state, reset, method=self.method)
        return (window, state), self._finish(h, c, u, z)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        window, state = carry
        u, z = jnp.split(self.inputs(x), 2, axis=-1)
        window, u = self.window.step(window, u, reset)
        u = nn.silu(u)
        decay, drive, c = self._select(u)
        state = decay * jnp.where(reset[:, None, None], 0, state) + drive
        return (window, state), self._finish(state, c, u, z)

    def _select(self, u: Array) -> tuple[Array, Array, Array]:
        """What one step keeps and writes [..., state, inner], and C [..., state]."""
        raw, b, c = jnp.split(self.select(u), [self._rank(), self._rank() + self.state], axis=-1)
        step = step_size(self.steps(raw), self.step_bias)
        rates = jnp.expand_dims(-jnp.exp(self.rates), tuple(range(u.ndim - 1)))
        decay = jnp.exp(step[..., None, :] * rates)
        return decay, b[..., None] * (step * u)[..., None, :], c

    def _finish(self, h: Array, c: Array, u: Array, z: Array) -> Array:
        y = read(c, h) + u * jnp.broadcast_to(self.skip, u.shape)
        return self.output(y * nn.silu(z))
