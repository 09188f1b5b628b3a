"""Aaren (Feng et al. 2405.13956): attention of one learned query over the past, as a recurrence.

Each head's query is the same at every step, so its softmax over all inputs so far is a scan with a
state of constant size. scans.softmax.
"""

from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Dtype, Features, Heads, MatmulDtype
from rlseq.errors import InputError
from rlseq.fields import OneOf
from rlseq.nn.projection import Projection, project
from rlseq.scans.softmax import METHODS, empty, softmax_scan, softmax_step
from rlseq.types import Carry


def forget_bias(key: Array, shape: tuple[int, ...], dtype: str = "float32") -> Array:
    """0 to 6 over the heads: they keep 0.5 to 0.998 a step. mLSTM's are 3 to 6 (Beck et al.
    2405.04517); with slow ones only, how long ago something was seen is hard to tell."""
    return jnp.linspace(0.0, 6.0, shape[0]).astype(dtype)


class Aaren(nn.Module):
    """One layer: softmax over the episode's past for each head, then a linear map of all heads.

    The carry holds for each head a maximum and two sums: m, u [B, heads] and w [B, heads, head].
    Without the forget gate nothing is ever forgotten, and late inputs weigh less and less.

    Raises InputError where `features` does not divide into heads.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = METHODS
    block: ClassVar[dict] = {"layers": 2, "norm": "pre", "mixer": "full_glu", "residual": True}

    features: Features
    heads: Heads = 4  # ours; the paper's host, a Decision Transformer, has 1
    forget_gate: bool = False  # ours: scores decay by log sigma(f x), as in mLSTM
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projections; "" is dtype

    def __post_init__(self) -> None:
        if self.features % self.heads:
            raise InputError(f"aaren: {self.features} features in {self.heads} heads")
        super().__post_init__()

    def setup(self) -> None:
        dtypes: dict[str, Any] = {"dtype": self.dtype, "matmul_dtype": self.matmul_dtype}
        shape = (self.heads, self.features // self.heads)
        unit = nn.initializers.normal(1.0)
        self.query = self.param("query", unit, shape, jnp.dtype(self.dtype))
        self.key = _Keys(self.heads, shape[1], self.dtype)
        self.value = Projection(self.features, use_bias=False, **dtypes)
        self.output = Projection(self.features, use_bias=False, **dtypes)
        if self.forget_gate:
            zeros = nn.initializers.zeros
            self.forget = Projection(self.heads, kernel_init=zeros, bias_init=forget_bias, **dtypes)

    def init_carry(self, batch: int) -> Carry:
        """The empty softmax of each head."""
        return empty(batch, self.heads, self.features // self.heads, self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        carry, mean = softmax_scan(*self._inputs(x), carry, reset, method=self.method)
        return carry, self.output(mean.reshape(*x.shape[:-1], self.features))

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        carry, mean = softmax_step(*self._inputs(x), carry, reset)
        return carry, self.output(mean.reshape(*x.shape[:-1], self.features))

    def _inputs(self, x: Array) -> tuple[Array | None, Array, Array]:
        """Log-decay or None and score [..., heads], value [..., heads, head]."""
        score = project(x, self.key(x.shape[-1], self.query), self.matmul_dtype)
        value = self.value(x).reshape(*x.shape[:-1], *self.query.shape)
        decay = jax.nn.log_sigmoid(self.forget(x)) if self.forget_gate else None
        return decay, score, value


class _Keys(nn.Module):
    """q . (W_k x) / sqrt(head) as one matrix [D, heads]: the query is constant, no key is made."""

    heads: int
    head: int
    dtype: str

    @nn.compact
    def __call__(self, width: int, query: Array) -> Array:
        shape = (width, self.heads * self.head)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.dtype(self.dtype))
        keys = kernel.reshape(width, self.heads, self.head)
        return jnp.einsum("dhk,hk->dh", keys, query) * self.head**-0.5
