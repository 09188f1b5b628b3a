"""A core behind an encoder, as one module that an estimator takes."""

import flax.linen as nn
from jax import Array

from rlseq.types import Carry


class Encoded(nn.Module):
    """encoder(x) -> core; x [T, B, ...] with reset bool [T, B], or without T for `step`.

    The encoder is any flax module of single inputs. Estimators carry the influence of its
    parameters too: one number for each of them and each number of the core's state. Without
    `traced` they do not, and the encoder has the gradient of its present output alone.
    """

    encoder: nn.Module
    core: nn.Module
    traced: bool = True

    def init_carry(self, batch: int) -> Carry:
        """The core's."""
        return self.core.init_carry(batch)  # type: ignore[attr-defined]

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """Whole sequences: (carry, y [T, B, features])."""
        return self.core(carry, self.encoder(x), reset)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """One step: (carry, y [B, features])."""
        return self.core.step(carry, self.encoder(x), reset)  # type: ignore[attr-defined]
