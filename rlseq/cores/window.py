"""The frame stack: a dense layer on the last inputs of the episode, a control of short memory."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Dtype, Features, MatmulDtype, WindowSize
from rlseq.nn.projection import dense, project
from rlseq.types import Carry


class Window(nn.Module):
    """y[t] = relu(W [e[t], e[t-1], ..., e[t-K+1]] + b) of embeddings e = E x of `window` = K steps.

    Steps before the episode's first are zero. The carry is the past embeddings
    [B, window - 1, features], oldest first.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 1}

    features: Features
    window: WindowSize = 4  # the frame stack of DQN (Mnih et al. 2015)
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the layers; "" is `dtype`

    def setup(self) -> None:
        n, k = self.features, self.window
        self.embed = dense(n, use_bias=False, dtype=self.dtype, matmul_dtype=self.matmul_dtype)
        start = nn.initializers.normal((k * n) ** -0.5)
        self.weight = self.param("weight", start, (k, n, n), jnp.dtype(self.dtype))
        zeros = nn.initializers.zeros
        self.bias = self.param("bias", zeros, (n,), jnp.dtype(self.dtype))

    def init_carry(self, batch: int) -> Carry:
        """Zeros [batch, window - 1, features]."""
        return jnp.zeros((batch, self.window - 1, self.features), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        length, past = x.shape[0], self.window - 1
        steps = jnp.concatenate([jnp.moveaxis(carry, 1, 0), self.embed(x)])
        episode = jnp.cumsum(jnp.pad(reset, ((past, 0), (0, 0))), axis=0, dtype=jnp.int32)
        episode = episode[..., None]
        total = jnp.zeros((*x.shape[:-1], self.features), self.dtype)
        for j in range(self.window):
            at = slice(past - j, past - j + length)
            seen = jnp.where(episode[past:] == episode[at], steps[at], 0)
            total = total + project(seen, self.weight[j], self.matmul_dtype)
        if past:
            last = jnp.where(episode[length:] == episode[-1:], steps[length:], 0)
            carry = jnp.moveaxis(last, 0, 1)
        return carry, self._activate(total)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        past = jnp.where(reset[:, None, None], 0, carry)
        steps = jnp.concatenate([past, self.embed(x)[:, None]], axis=1)
        flat = jnp.flip(steps, 1).reshape(x.shape[0], -1)
        weight = self.weight.reshape(-1, self.features)
        return steps[:, 1:], self._activate(project(flat, weight, self.matmul_dtype))

    def _activate(self, total: Array) -> Array:
        return jax.nn.relu(total + jnp.broadcast_to(self.bias, total.shape))
