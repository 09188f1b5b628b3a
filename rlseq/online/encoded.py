"""A core behind an encoder, as one module that an estimator takes."""

import flax.linen as nn
from jax import Array

from rlseq.types import Carry


class Encoded(nn.Module):
    """encoder(x) -> core; x [T, B, ...] with reset bool [T, B], or without T for `step`.

    The encoder is any flax module of single inputs, so that exact estimators carry the influence
    of its parameters too: one number for each of them and each number of the core's state.
    """

    encoder: nn.Module
    core: nn.Module

    def init_carry(self, batch: int) -> Carry:
        """The core's."""
        return self.core.init_carry(batch)  # type: ignore[attr-defined]

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """Whole sequences: (carry, y [T, B, features])."""
        return self.core(carry, self.encoder(x), reset)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """One step: (carry, y [B, features])."""
        return self.core.step(carry, self.encoder(x), reset)  # type: ignore[attr-defined]
