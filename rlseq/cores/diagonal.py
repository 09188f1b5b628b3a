"""What the cores with a constant diagonal complex transition share: carry, scan and step."""

from typing import Annotated, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Dtype, Features
from rlseq.fields import OneOf
from rlseq.scans.affine import METHODS
from rlseq.scans.rotation import rotate, rotation_scan
from rlseq.types import Carry


class Diagonal(nn.Module):
    """h[t] = a h[t-1] + drive(x[t]), y[t] = output(h[t], x[t]) with P complex states; scans.affine.

    A core gives `states` (P), `_drive(x) -> ((real [P], imag [P]), drive [..., 2, P])` and
    `_output(states [..., 2, P], x) -> y`. The carry is [B, 2, P]: real and imaginary parts.

    Raises ValueError for an input of another width.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = METHODS
    block: ClassVar[dict] = {"layers": 2, "mixer": "full_glu", "residual": True}

    features: Features
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan
    dtype: Dtype = "float32"

    @property
    def states(self) -> int:
        """P, the number of complex states of a row."""
        raise NotImplementedError

    def init_carry(self, batch: int) -> Carry:
        """Zeros [batch, 2, P]: real and imaginary parts."""
        return jnp.zeros((batch, 2, self.states), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, features], reset bool [T, B] -> (carry, y [T, B, features])."""
        self._check_width(x)
        transition, drive = self._drive(x)
        carry, states = rotation_scan(*transition, drive, carry, reset, method=self.method)
        return carry, self._output(states, x)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, features], reset bool [B] -> (carry, y [B, features])."""
        self._check_width(x)
        transition, drive = self._drive(x)
        state = rotate(*transition, jnp.where(reset[:, None, None], 0, carry)) + drive
        return state, self._output(state, x)

    def _drive(self, x: Array) -> tuple[tuple[Array, Array], Array]:
        raise NotImplementedError

    def _output(self, states: Array, x: Array) -> Array:
        raise NotImplementedError

    def _check_width(self, x: Array) -> None:
        if x.shape[-1] != self.features:
            name = type(self).__name__.lower()
            raise ValueError(
                f"{name} needs an input of {self.features} features, got {x.shape[-1]}"
            )


def project_pairs(states: Array, c: Array) -> Array:
    """Re(C h) as one real matmul: states [..., 2, P], c [2, features, P] -> [..., features]."""
    parts = states.reshape(*states.shape[:-2], 2 * states.shape[-1])
    return parts @ jnp.concatenate([c[0], -c[1]], axis=1).T
