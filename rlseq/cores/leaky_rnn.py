"""Leaky RNN with trainable time constants (Khajehabdollahi et al. 2309.12927); scans.sequential.

h[t] = phi((1 - 1/tau) h[t-1] + (W h[t-1] + W_in x[t] + b) / tau) with a leaky ReLU phi, tau >= 1
and no self-connections in W: a unit's own past reaches it through its time constant alone.
"""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Dtype, Features
from rlseq.scans.sequential import additive, clear, recurrent_product, recurrent_scan
from rlseq.types import Carry


def leaky_step(others: tuple, drive: Array, h: Array) -> tuple[tuple, Array]:
    """h' = phi(drive): the leak is on the diagonal of the matrix."""
    return others, jax.nn.leaky_relu(drive)


leaky_gates = additive(leaky_step)


class LeakyRNN(nn.Module):
    """A layer of leaky units; the carry is h [B, features]."""

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 1}

    features: Features
    dtype: Dtype = "float32"

    def setup(self) -> None:
        n, dtype = self.features, jnp.dtype(self.dtype)
        self.inputs = nn.Dense(n, use_bias=False, dtype=self.dtype, param_dtype=self.dtype)
        self.recurrent = self.param("recurrent", self._uniform, (n, n))
        self.bias = self.param("bias", self._uniform, (n,))
        self.tau = self.param("tau", self._initial_tau, (n,), dtype)

    def init_carry(self, batch: int) -> Carry:
        """Zeros [batch, features]."""
        return jnp.zeros((batch, self.features), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        weight, bias, drive = self._scaled(x)
        (_, h), y = recurrent_scan(leaky_gates, weight, bias, (), carry, drive, reset)
        return h, y

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        weight, bias, drive = self._scaled(x)
        h = clear(carry, self.init_carry(x.shape[0]), reset)
        _, h = leaky_gates((), drive, recurrent_product(h, weight, bias), h)
        return h, h

    def _scaled(self, x: Array) -> tuple[Array, Array, Array]:
        """The matrix with the leak on its diagonal, the bias and the drive, all over tau."""
        rate = 1 / jnp.maximum(self.tau, 1)
        own = jnp.eye(self.features, dtype=self.dtype)
        weight = self.recurrent * (1 - own) * rate[None] + own * (1 - rate)[None]
        drive = self.inputs(x)
        return weight, self.bias * rate, drive * jnp.broadcast_to(rate, drive.shape)

    def _uniform(self, key: Array, shape: tuple[int, ...]) -> Array:
        bound = self.features**-0.5
        return jax.random.uniform(key, shape, jnp.dtype(self.dtype), -bound, bound)

    def _initial_tau(self, key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        """Uniform in [1, 2), as the paper's code."""
        return jax.random.uniform(key, shape, dtype, 1.0, 2.0)
