"""The sequence model of Drama: latents and actions through a stem into any core."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores import STACK, make_core
from rlseq.cores.dtypes import around
from rlseq.errors import InputError
from rlseq.nn.encoders import normed
from rlseq.types import Carry
from rlseq.world_models.initial import dense_kernel
from rlseq.world_models.settings import DramaConfig


class SequenceModel(nn.Module):
    """d[t] = norm(core(stem(latent[t], action[t]), d[t-1] and what came before)).

    The stem is a dense layer, an RMSNorm and a SiLU; an RMSNorm ends the core. Dropout before it
    happens where an rng "dropout" is given.
    """

    core: nn.Module
    num_actions: int
    dropout: float
    initial: str = "released"  # of the stem

    def setup(self) -> None:
        self.stem = nn.Dense(
            self.core.features,
            kernel_init=dense_kernel(self.initial),
            dtype=around(self.core.dtype),
        )
        self.stem_norm, self.norm = nn.RMSNorm(epsilon=1e-5), nn.RMSNorm(epsilon=1e-5)
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self, carry: Carry, latent: Array, action: Array, reset: Array
    ) -> tuple[Carry, Array]:
        """latent [T, B, L], action int32 [T, B], reset bool [T, B] -> (carry, d [T, B, H])."""
        carry, y = self.core(carry, self._inputs(latent, action), reset)
        return carry, self._finish(y)

    def step(self, carry: Carry, latent: Array, action: Array, reset: Array) -> tuple[Carry, Array]:
        """latent [B, L], action int32 [B], reset bool [B] -> (carry, d [B, H])."""
        carry, y = self.core.step(carry, self._inputs(latent, action), reset)
        return carry, self._finish(y)

    def _inputs(self, latent: Array, action: Array) -> Array:
        one_hot = jax.nn.one_hot(action, self.num_actions, dtype=latent.dtype)
        x = self.stem(jnp.concatenate([latent, one_hot], axis=-1))
        return nn.silu(normed(x, self.stem_norm))

    def _finish(self, y: Array) -> Array:
        y = y.astype(jnp.float32)  # the core may have another dtype
        return self.norm(self.drop(y, deterministic=not self.has_rng("dropout")))


def sequence_core(config: DramaConfig, core: dict[str, Any]) -> Any:
    """The core with what it leaves unsaid from the world model's settings. Raises InputError."""
    options = dict(core)
    name = options.pop("name", "mamba2")
    block = {"norm": "pre_rms", "residual": True, "dropout": config.dropout}
    block |= {"features": config.features}
    if name != STACK:
        block["layers"] = config.layers
    stack = make_core(name, **(block | options))
    without_step = [layer for layer in stack.layers if not callable(getattr(layer, "step", None))]
    if without_step:
        raise InputError(
            f"core {name!r} cannot step, which imagination needs: "
            f"{type(without_step[0]).__name__} has no method step"
        )
    return stack
