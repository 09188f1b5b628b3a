"""Layers of any core in a row: input projection, norms, mixing and residuals around each."""

from functools import partial
from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.blocks import GTrXLGate
from rlseq.cores.dtypes import held_in
from rlseq.cores.options import Dtype, Features
from rlseq.errors import InputError
from rlseq.fields import OneOf, Range
from rlseq.types import Carry

NORMS = ("none", "pre", "post", "pre_rms")
MIXERS = ("none", "gelu", "half_glu1", "half_glu2", "full_glu", "glu", "mlp")
GATES = ("none", "gtrxl")
MLP_EXPANSION = 4  # of the mixer "mlp", as in Transformers


class Stack(nn.Module):
    """The core that `make_core` returns.

    Every layer sees x -> [norm] -> layer -> [mixer] -> [+ x] -> [norm]. With residuals an input of
    another width is first projected to `features`, and the gate "gtrxl" replaces their sum. Mixers
    as in S5 (Smith et al. 2208.04933, appendix): gelu; half_glu1 and half_glu2 gate with one
    matrix; full_glu with two. Beside them glu, which is full_glu without its gelu, and mlp, two
    dense layers with a gelu between. Norms are layer norms; "pre_rms" is an RMSNorm before each
    layer, as in Mamba. `dropout` of what a layer adds happens where an rng "dropout" is given.
    With `remat` the backward pass keeps the input of each layer of a sequence and computes the
    rest again: less memory for about a third more time (on CPUs XLA undoes it).
    Inputs are cast to `dtype`, in which results and all around the layers are; `rlseq.cores.dtypes`
    says what layers hold in which.

    Raises InputError for a gate without residuals and ValueError when traced with a carry, an
    input or a reset that does not fit.
    """

    hidden: ClassVar[tuple[str, ...]] = ("layers", "dtype")  # not options: see make_core

    features: Features
    layers: tuple[nn.Module, ...]
    norm: Annotated[str, OneOf(NORMS)] = "none"
    mixer: Annotated[str, OneOf(MIXERS)] = "none"
    residual: bool = False
    gate: Annotated[str, OneOf(GATES)] = "none"  # of the residual, which it needs
    dropout: Annotated[float, Range(0, 1, below=True)] = 0.0
    remat: bool = False
    dtype: Dtype = "float32"

    @staticmethod
    def option_names() -> tuple[str, ...]:
        """The options of make_core that the stack takes rather than its layers."""
        return ("layers", "norm", "mixer", "residual", "gate", "dropout", "remat")

    def __post_init__(self) -> None:
        if self.gate != "none" and not self.residual:
            raise InputError(f"gate {self.gate!r} replaces the residual's sum: set residual")
        super().__post_init__()

    def setup(self) -> None:
        depth = range(len(self.layers))
        double = 2 * self.features
        width = {"full_glu": double, "glu": double, "mlp": MLP_EXPANSION * self.features}
        self.project = self._dense(self.features) if self.residual else None
        self.norms = [self._norm() for _ in depth] if self.norm != "none" else []
        first = width.get(self.mixer, self.features)
        wanted = self.mixer not in ("none", "gelu")
        self.gates = [self._dense(first) for _ in depth] if wanted else []
        mlp, gtrxl = self.mixer == "mlp", self.gate == "gtrxl"
        self.outs = [self._dense(self.features) for _ in depth] if mlp else []
        self.drop = nn.Dropout(self.dropout)
        make = partial(GTrXLGate, self.features, self.dtype)
        self.residual_gates = [make() for _ in depth] if gtrxl else []

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
        x = x.astype(self.dtype)
        if self.project is not None and x.shape[-1] != self.features:
            x = self.project(x)
        carries = []
        for i in range(len(self.layers)):
            one = partial(Stack._layer, index=i, method=method)
            if self.remat and method == "__call__":
                one = nn.remat(one)
            c, x = one(self, carry[i], x, reset)
            carries.append(c)
        return tuple(carries), x

    def _layer(
        self, carry: Carry, x: Array, reset: Array, *, index: int, method: str
    ) -> tuple[Carry, Array]:
        """One layer and what is around it."""
        layer = self.layers[index]
        inside = self._normed(index, x) if self.norm in ("pre", "pre_rms") else x
        c, y = getattr(layer, method)(carry, inside.astype(layer.dtype), reset)
        y = self._mix(index, y.astype(self.dtype))
        y = self.drop(y, deterministic=not self.has_rng("dropout"))
        x = self._join(index, x, y)
        return c, self._normed(index, x) if self.norm == "post" else x

    def _normed(self, i: int, x: Array) -> Array:
        # flax mixes float32 into half precision, which a strict caller's JAX would refuse.
        return self.norms[i](x.astype(held_in(self.dtype))).astype(self.dtype)

    def _mix(self, i: int, y: Array) -> Array:
        if self.mixer == "none":
            return y
        if self.mixer == "mlp":
            return self.outs[i](nn.gelu(self.gates[i](y)))
        if self.mixer == "glu":
            value, gate = jnp.split(self.gates[i](y), 2, axis=-1)
            return value * nn.sigmoid(gate)
        # Its input is all that the backward pass keeps, which saves memory.
        active = jax.checkpoint(nn.gelu)(y)
        if self.mixer == "gelu":
            return active
        gate = self.gates[i](active)
        if self.mixer == "full_glu":
            value, gate = jnp.split(gate, 2, axis=-1)
            return value * nn.sigmoid(gate)
        return (active if self.mixer == "half_glu1" else y) * nn.sigmoid(gate)

    def _join(self, i: int, x: Array, y: Array) -> Array:
        if not self.residual:
            return y
        return self.residual_gates[i](x, y) if self.gate == "gtrxl" else x + y

    def _norm(self) -> nn.Module:
        # flax would mix float32 into float64.
        short = self.dtype != "float64"
        held = held_in(self.dtype)
        settings: dict[str, Any] = {"dtype": held, "param_dtype": held}
        settings["force_float32_reductions"] = short
        if self.norm == "pre_rms":
            return nn.RMSNorm(epsilon=1e-5, **settings)
        return nn.LayerNorm(**settings)

    def _dense(self, width: int) -> nn.Dense:
        return nn.Dense(width, dtype=self.dtype, param_dtype=held_in(self.dtype))

    def _check(self, carry: Carry, x: Array, reset: Array, rank: int) -> None:
        axes = "[T, B, D]" if rank == 3 else "[B, D]"
        if x.ndim != rank:
            raise ValueError(f"x must be {axes}, got shape {x.shape}")
        allowed = dict.fromkeys((self.dtype, "float32"))
        if x.dtype not in map(jnp.dtype, allowed):
            raise ValueError(f"x must be {' or '.join(allowed)}, got {x.dtype}")
        if reset.dtype != jnp.bool_ or reset.shape != x.shape[:-1]:
            raise ValueError(f"reset must be bool {x.shape[:-1]}, got {reset.dtype} {reset.shape}")
        wanted = _signature(self.init_carry(x.shape[-2]))
        got = _signature(carry)
        if got != wanted:
            raise ValueError(f"the carry must be {wanted} (from init_carry), got {got}")


def _signature(carry: Carry) -> Any:
    return jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", carry)
