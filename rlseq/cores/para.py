"""What the cores of ParaRNN share: a gated cell whose units see, of the past, only themselves."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Dtype, Features, MatmulDtype
from rlseq.fields import OneOf, Range
from rlseq.nn.projection import Projection
from rlseq.scans.newton import METHODS, Cell, newton_scan
from rlseq.scans.sequential import clear
from rlseq.types import Carry

GATES = 3  # of both cells
Bound = Annotated[float, Range(0, 1000, above=True)]


class ParaRNN(nn.Module):
    """h[t] = cell(weights, W x[t] + b, h[t-1]) with one number a unit in each weight; scans.newton.

    A core gives `cell`, `weights` (how many recurrent weights a unit has), `states` (K, the
    numbers that a unit carries) and `spread`. The carry is [B, K, features], and its last number
    the output. The parallel form leaves how Newton's method went in the collection
    "intermediates", as `newton`.

    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = METHODS
    # Norms and dense layers around the cell as in the paper, the mixer as in S5.
    block: ClassVar[dict] = {"layers": 2, "norm": "pre", "mixer": "full_glu", "residual": True}
    cell: ClassVar[Cell]
    weights: ClassVar[int]
    states: ClassVar[int]
    spread: ClassVar[float]  # the first gate's biases start evenly between 0 and this

    features: Features
    bound: Bound = 3.0  # of recurrent weights, ours: large ones need many iterations, or diverge
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projection; "" is dtype

    def setup(self) -> None:
        n = self.features
        options: dict[str, Any] = {"dtype": self.dtype, "matmul_dtype": self.matmul_dtype}
        bias = _first_gate_spread(self.spread)
        kernel = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
        self.inputs = Projection(GATES * n, kernel_init=kernel, bias_init=bias, **options)
        normal = nn.initializers.normal(2 / (5 * n) ** 0.5)  # ParaRNN's, after xLSTM
        self.recurrent = self.param("recurrent", normal, (self.weights, n), jnp.dtype(self.dtype))

    def init_carry(self, batch: int) -> Carry:
        """Zeros [batch, K, features]."""
        return jnp.zeros((batch, self.states, self.features), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        cell = type(self).cell
        carry, states, metrics = newton_scan(
            cell, self._bounded(), self.inputs(x), carry, reset, method=self.method
        )
        self.sow("intermediates", "newton", metrics)
        return carry, states[..., -1, :]

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        state = clear(carry, self.init_carry(x.shape[0]), reset)
        state = type(self).cell(self._bounded(), self.inputs(x), state)
        return state, state[:, -1]

    def _bounded(self) -> Array:
        return self.bound * jnp.tanh(self.recurrent / self.bound)


def _first_gate_spread(end: float) -> Callable[..., Array]:
    """Biases of all gates; those of the first spread the units' time scales, as in ParaRNN."""

    def initialise(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        n = shape[0] // GATES
        return jnp.zeros(shape, dtype).at[:n].set(jnp.linspace(0, end, n, dtype=dtype))

    return initialise
