"""The memory-less control: a dense layer a step."""

from typing import ClassVar

import flax.linen as nn
from jax import Array

from rlseq.cores.options import Dtype, Features, MatmulDtype
from rlseq.nn.projection import dense
from rlseq.types import Carry


class MLP(nn.Module):
    """y = relu(W x + b); its carry is empty and no input ever reaches a later output."""

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 2}

    features: Features
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the layer; "" is `dtype`

    def setup(self) -> None:
        self.dense = dense(self.features, dtype=self.dtype, matmul_dtype=self.matmul_dtype)

    def init_carry(self, batch: int) -> Carry:
        """The empty carry."""
        return ()

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        return carry, nn.relu(self.dense(x))

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        return carry, nn.relu(self.dense(x))
