"""Recurrent trace units (Elelimy et al. 2409.01449), the linear form; scans.affine.

h[t] = L h[t-1] + g W x[t], y[t] = f([Re h[t], Im h[t]]) with L = exp(-exp(nu) + i exp(theta)) and
g = sqrt(1 - |L|^2). Each number of nu, theta and W feeds one complex state, so that exact gradients
can be carried forward in time (`rlseq.online`).
"""

from typing import Annotated, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from rlseq.cores.diagonal import Ring
from rlseq.cores.options import MatmulDtype
from rlseq.cores.recurrence import Recurrence
from rlseq.errors import InputError
from rlseq.fields import OneOf
from rlseq.nn.projection import dense

ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh, "none": lambda x: x}
Activation = Annotated[str, OneOf(ACTIVATIONS)]


class RTU(Ring):
    """One layer of RTUs; the carry is the state, [B, 2, features / 2]: real and imaginary parts.

    Raises InputError for an odd width.
    """

    block: ClassVar[dict] = {"layers": 1}

    activation: Activation = "relu"  # f: the paper's, or "tanh" or "none"
    matmul_dtype: MatmulDtype = ""  # of the projection of inputs; "" is `dtype`

    def __post_init__(self) -> None:
        if self.features % 2:
            raise InputError(f"rtu: features must be even, got {self.features}")
        super().__post_init__()

    @property
    def states(self) -> int:
        """Half of the width: both parts of a state are outputs."""
        return self.features // 2

    @property
    def recurrence(self) -> Recurrence:
        """A unit is a complex state."""
        axes = {"nu": -1, "theta": -1, "inputs/kernel": -1}
        return Recurrence(axes, self.states, diagonal=True)

    def setup(self) -> None:
        self.nu = self.param("nu", self._initial_radius, (self.states,))
        self.theta = self.param("theta", self._initial_phase, (self.states,))
        self.inputs = dense(
            self.features, use_bias=False, dtype=self.dtype, matmul_dtype=self.matmul_dtype
        )

    def _drive(self, x: Array) -> tuple[tuple[Array, Array], Array]:
        """The transition ([P], [P]) and g W x [..., 2, P]."""
        rate = jnp.exp(self.nu)
        radius, phase = jnp.exp(-rate), jnp.exp(self.theta)
        scale = jnp.sqrt(-jnp.expm1(-2 * rate))
        pairs = self.inputs(x).reshape(*x.shape[:-1], 2, self.states)
        transition = radius * jnp.cos(phase), radius * jnp.sin(phase)
        return transition, pairs * jnp.broadcast_to(scale, pairs.shape)

    def _output(self, states: Array, x: Array) -> Array:
        return ACTIVATIONS[self.activation](states.reshape(*x.shape[:-1], self.features))

    def _check_width(self, x: Array) -> None:
        """Any: W reads it, and nothing goes past the state."""
