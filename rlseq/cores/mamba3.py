"""Mamba-3 (2603.15569): a trapezoidal rule instead of a convolution, and states that turn.

Every head keeps S[t] = e^{A dt} R^T S[t-1] + (1 - l) dt e^{A dt} R^T B[t-1] x[t-1]^T + l dt B[t]
x[t]^T and reads y[t] = S[t]^T C[t] + D x[t]. The step size dt, the decay A, the weight l between
both ends of a step and the angles of R, which turns pairs of rows, come from the input; B and C are
normalised. With a rank above 1 that many rows of B, C and x share one state (MIMO). scans.ssd.
"""

from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlseq.cores.options import Dtype, Expand, Features, MatmulDtype, Size, State, StepSize
from rlseq.cores.selective import check_head_width, check_step_range, rms_norm, step_bias, step_size
from rlseq.fields import OneOf, Range, Share
from rlseq.nn.chunked import in_chunks
from rlseq.nn.projection import Projection
from rlseq.scans.ssd import METHODS
from rlseq.scans.trapezoid import Memory, Rule, trapezoid_scan, trapezoid_step
from rlseq.types import Carry

HEAD = 64  # Mamba-3
Mimo = Annotated[int, Range(1, 64)]
SLOWEST = 1e-4  # Mamba-3: floor of -A


def heavy_tail(x: Array) -> Array:
    """1 + x above 0, 1 / (1 - x) below: positive and smooth, with a slow tail (Mamba-3's -A)."""
    return jnp.maximum(x, 0) + 1 / (1 - jnp.minimum(x, 0))


class Mamba3(nn.Module):
    """One layer; the carry is the state of every head with the keys and values of the last step.

    The state is [B, heads, state, head], keys [B, rank, heads, state] and values [B, rank, heads,
    head]; there are expand * features / head heads. Raises InputError where that does not divide.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = METHODS
    block: ClassVar[dict] = {"layers": 2, "norm": "pre", "residual": True}  # as around mamba2

    features: Features
    state: State = 16  # ours, as in mamba2; Mamba-3's language models: 128
    head: Size = 0  # width of a head; 0 is 64, as in Mamba-3, or all of a smaller layer
    expand: Expand = 2  # Mamba-3
    rank: Mimo = 1  # Mamba-3; 4 in its MIMO form
    turning: Share = 0.5  # Mamba-3; the part of a state's rows that turns
    step_min: StepSize = 0.001  # Mamba-3; initial step sizes are log-uniform between these
    step_max: StepSize = 0.1
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projections; "" is dtype

    def __post_init__(self) -> None:
        inner = self.expand * self.features
        check_head_width("mamba3", inner, self.head, self._head())
        check_step_range("mamba3", self.step_min, self.step_max)
        super().__post_init__()

    def _head(self) -> int:
        return self.head or min(HEAD, self.expand * self.features)

    def _widths(self) -> list[int]:
        """Of the input projection: z, x, B, C, the step size, A, l and the angles."""
        inner, rows = self.expand * self.features, self.rank * self.state
        heads, angles = inner // self._head(), int(self.state * self.turning) // 2
        return [inner, inner, rows, rows, heads, heads, heads, angles]

    def setup(self) -> None:
        dtype, head = jnp.dtype(self.dtype), self._head()
        heads = self.expand * self.features // head
        dense: dict[str, Any] = {"use_bias": False, "matmul_dtype": self.matmul_dtype}
        self.inputs = Projection(sum(self._widths()), dtype=self.dtype, **dense)
        ones = nn.initializers.ones
        self.key_norm, self.query_norm = rms_norm(self.dtype), rms_norm(self.dtype)
        self.key_bias = self.param("key_bias", ones, (self.rank, heads, self.state), dtype)
        self.query_bias = self.param("query_bias", ones, (self.rank, heads, self.state), dtype)
        self.step_bias = self.param(
            "step_bias", step_bias, (heads,), self.dtype, self.step_min, self.step_max
        )
        self.skip = self.param("skip", ones, (heads, 1), dtype)
        if self.rank > 1:
            mean, shape = nn.initializers.constant(1 / self.rank), (self.rank, heads, head)
            self.spread = self.param("spread", mean, shape, dtype)
            self.gates = self.param("gates", ones, shape, dtype)
            self.gather = self.param("gather", mean, shape, dtype)
        self.output = Projection(self.features, dtype=self.dtype, **dense)

    def init_carry(self, batch: int) -> Carry:
        """Zeros of all three."""
        head = self._head()
        heads = self.expand * self.features // head
        rows = batch, self.rank, heads
        shapes = (batch, heads, self.state, head), (*rows, self.state), (*rows, head)
        return Memory(*(jnp.zeros(shape, self.dtype) for shape in shapes))

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        return in_chunks(self, Mamba3._through, carry, x, reset)

    def _through(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        z, q, k, v, rule = self._read(x)
        memory = Memory(*carry)
        memory, y = trapezoid_scan(q, k, v, rule, memory, reset, method=self.method)
        return memory, self._finish(y, v, z)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        z, q, k, v, rule = self._read(x)
        memory, y = trapezoid_step(q, k, v, rule, Memory(*carry), reset)
        return memory, self._finish(y, v, z)

    def _read(self, x: Array) -> tuple[Array, Array, Array, Array, Rule]:
        """z [..., heads, head], C and B [..., R, heads, N], x [..., R, heads, P] and the rule."""
        cuts = np.cumsum(self._widths())[:-1]
        z, v, k, q, step, decay, middle, angle = jnp.split(self.inputs(x), cuts, axis=-1)
        heads = self.expand * self.features // self._head(), self._head()
        rows = self.rank, 1, self.state
        z, v = (a.reshape(*x.shape[:-1], *heads) for a in (z, v))
        k, q = (a.reshape(*x.shape[:-1], *rows) for a in (k, q))
        k = _plus(self.key_norm(k), self.key_bias)
        q = _plus(self.query_norm(q), self.query_bias)
        v = v[..., None, :, :]
        if self.rank > 1:
            v = v * jnp.expand_dims(self.spread, tuple(range(x.ndim - 1)))
        return z, q, k, v, self._rule(step, decay, middle, angle)

    def _rule(self, step: Array, decay: Array, middle: Array, angle: Array) -> Rule:
        step = step_size(step, self.step_bias)
        now = nn.sigmoid(middle)
        turn = jnp.pi * step[..., None] * jnp.tanh(angle)[..., None, :]
        rate = jnp.maximum(heavy_tail(decay), SLOWEST)
        return Rule(-rate * step, turn, (1 - now) * step, now * step)

    def _finish(self, y: Array, v: Array, z: Array) -> Array:
        wide = tuple(range(z.ndim - 2))
        y = y + v * jnp.expand_dims(self.skip, (*wide, -3))
        z = z[..., None, :, :]
        if self.rank > 1:
            y = y * nn.silu(z * jnp.expand_dims(self.gates, wide))
            y = (y * jnp.expand_dims(self.gather, wide)).sum(-3)
        else:
            y = (y * nn.silu(z))[..., 0, :, :]
        return self.output(y.reshape(*y.shape[:-2], self.expand * self.features))


def _plus(rows: Array, bias: Array) -> Array:
    """[..., R, 1, N] + [R, H, N] -> [..., R, H, N]."""
    return rows + jnp.expand_dims(bias, tuple(range(rows.ndim - 3)))
