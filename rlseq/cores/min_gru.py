"""minGRU (Feng et al. 2410.01201, section 3.1): a GRU whose gate sees the input only; scans.affine.

z[t] = sigma(W_z x[t]), h[t] = (1 - z[t]) h[t-1] + z[t] (W_h x[t]).
"""

from typing import Annotated, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Dtype, Features, MatmulDtype
from rlseq.cores.recurrence import Recurrence
from rlseq.fields import OneOf
from rlseq.nn.projection import Projection
from rlseq.scans.affine import METHODS, affine_scan
from rlseq.types import Carry


class MinGRU(nn.Module):
    """One minGRU layer; the carry is h [B, features]."""

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = METHODS
    block: ClassVar[dict] = {"layers": 2, "mixer": "full_glu", "residual": True}  # ours, as in S5

    features: Features
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projection; "" is `dtype`

    def setup(self) -> None:
        self.inputs = Projection(
            2 * self.features, dtype=self.dtype, matmul_dtype=self.matmul_dtype
        )

    @property
    def recurrence(self) -> Recurrence:
        """A unit is a number of h."""
        axes = {"inputs/dense/kernel": -1, "inputs/dense/bias": -1}
        return Recurrence(axes, self.features, diagonal=True)

    def init_carry(self, batch: int) -> Carry:
        """Zeros [batch, features]."""
        return jnp.zeros((batch, self.features), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        return affine_scan(*self._gates(x), carry, reset, method=self.method)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        keep, drive = self._gates(x)
        h = keep * jnp.where(reset[:, None], 0, carry) + drive
        return h, h

    def _gates(self, x: Array) -> tuple[Array, Array]:
        """1 - z and z (W_h x), both [..., features]."""
        gate, value = jnp.split(self.inputs(x), 2, axis=-1)
        # sigma(-g) is 1 - sigma(g) without its cancellation.
        return nn.sigmoid(-gate), nn.sigmoid(gate) * value
