"""Layers of any core in a row: input projection, norms, mixing and residuals around each."""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.errors import unknown_name
from rlseq.types import Carry

NORMS = ("none", "pre", "post")
MIXERS = ("none", "gelu", "half_glu1", "half_glu2", "full_glu")


class Stack(nn.Module):
    """The core that `make_core` returns.

    Every layer sees x -> [norm] -> layer -> [mixer] -> [+ x] -> [norm]. With residuals an input of
    another width is first projected to `features`. Mixers as in S5 (Smith et al. 2208.04933,
    appendix): gelu; half_glu1 and half_glu2 gate with one matrix; full_glu with two.

    Raises ValueError when traced with a carry, an input or a reset that does not fit.
    """

    hidden: ClassVar[tuple[str, ...]] = ("layers", "dtype")  # not options: see make_core

    features: int
    layers: tuple[nn.Module, ...]
    norm: str = "none"
    mixer: str = "none"
    residual: bool = False
    dtype: str = "float32"

    @staticmethod
    def option_names() -> tuple[str, ...]:
        """The options of make_core that the stack takes rather than its layers."""
        return ("layers", "norm", "mixer", "residual")

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise unknown_name("norm", self.norm, NORMS)
        if self.mixer not in MIXERS:
            raise unknown_name("mixer", self.mixer, MIXERS)
        super().__post_init__()

    def setup(self) -> None:
        depth = range(len(self.layers))
        width = 2 * self.features if self.mixer == "full_glu" else self.features
        gated = "glu" in self.mixer
        self.project = self._dense(self.features) if self.residual else None
        self.norms = [nn.LayerNorm(dtype=self.dtype) for _ in depth] if self.norm != "none" else []
        self.gates = [self._dense(width) for _ in depth] if gated else []

    def init_carry(self, batch: int) -> Carry:
        """The carry of `batch` fresh episodes: one entry a layer."""
        return tuple(layer.init_carry(batch) for layer in self.layers)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        self._check(carry, x, reset, rank=3)
        return self._through(carry, x, reset, "__call__")

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        self._check(carry, x, reset, rank=2)
        return self._through(carry, x, reset, "step")

    def _through(self, carry: Carry, x: Array, reset: Array, method: str) -> tuple[Carry, Array]:
        if self.project is not None and x.shape[-1] != self.features:
            x = self.project(x)
        carries = []
        for i, layer in enumerate(self.layers):
            inside = self.norms[i](x) if self.norm == "pre" else x
            c, y = getattr(layer, method)(carry[i], inside, reset)
            y = self._mix(i, y)
            x = x + y if self.residual else y
            x = self.norms[i](x) if self.norm == "post" else x
            carries.append(c)
        return tuple(carries), x

    def _mix(self, i: int, y: Array) -> Array:
        if self.mixer == "none":
            return y
        # Its input is all that the backward pass keeps, which saves memory.
        active = jax.checkpoint(nn.gelu)(y)
        if self.mixer == "gelu":
            return active
        gate = self.gates[i](active)
        if self.mixer == "full_glu":
            value, gate = jnp.split(gate, 2, axis=-1)
            return value * nn.sigmoid(gate)
        return (active if self.mixer == "half_glu1" else y) * nn.sigmoid(gate)

    def _dense(self, width: int) -> nn.Dense:
        return nn.Dense(width, dtype=self.dtype, param_dtype=self.dtype)

    def _check(self, carry: Carry, x: Array, reset: Array, rank: int) -> None:
        axes = "[T, B, D]" if rank == 3 else "[B, D]"
        if x.ndim != rank:
            raise ValueError(f"x must be {axes}, got shape {x.shape}")
        if x.dtype != jnp.dtype(self.dtype):
            raise ValueError(f"x must be {self.dtype}, got {x.dtype}")
        if reset.dtype != jnp.bool_ or reset.shape != x.shape[:-1]:
            raise ValueError(f"reset must be bool {x.shape[:-1]}, got {reset.dtype} {reset.shape}")
        wanted = _signature(self.init_carry(x.shape[-2]))
        given = _signature(carry)
        if given != wanted:
            raise ValueError(f"the carry must be {wanted} (from init_carry), got {given}")


def _signature(carry: Carry) -> Any:
    return jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", carry)
