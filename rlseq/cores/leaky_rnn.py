"""Leaky RNN with trainable time constants (Khajehabdollahi et al. 2309.12927); scans.sequential.

h[t] = phi((1 - 1/tau) h[t-1] + (W h[t-1] + W_in x[t] + b) / tau) with a leaky ReLU phi, tau >= 1
and no self-connections in W: a unit's own past reaches it through its time constant alone.
"""

from functools import partial
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Dtype, Features, MatmulDtype
from rlseq.cores.recurrence import Recurrence
from rlseq.nn.projection import dense
from rlseq.scans.sequential import additive, cell_scan, clear, recurrent_product, recurrent_scan
from rlseq.types import Carry


def leaky_step(others: tuple, drive: Array, h: Array) -> tuple[tuple, Array]:
    """h' = phi(drive): the leak is on the diagonal of the matrix."""
    return others, jax.nn.leaky_relu(drive)


leaky_gates = additive(leaky_step)


def _alone(keep: Array, h: Array, drive: Array) -> tuple[Array, Array]:
    """A step of units that do not see each other: (h', h'), all [B, N], keep [1, N]."""
    h = jax.nn.leaky_relu(keep * h + drive)
    return h, h


class LeakyRNN(nn.Module):
    """A layer of leaky units; the carry is h [B, features]."""

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 1}

    features: Features
    diagonal: bool = False  # no W: a unit sees the inputs and its own past alone
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projection of inputs; "" is `dtype`

    def setup(self) -> None:
        n, dtype = self.features, jnp.dtype(self.dtype)
        self.inputs = dense(n, use_bias=False, dtype=self.dtype, matmul_dtype=self.matmul_dtype)
        if not self.diagonal:
            self.recurrent = self.param("recurrent", self._uniform, (n, n))
        self.bias = self.param("bias", self._uniform, (n,))
        self.tau = self.param("tau", self._initial_tau, (n,), dtype)

    @property
    def recurrence(self) -> Recurrence:
        """A unit is a number of h."""
        axes = {"inputs/kernel": -1, "bias": -1, "tau": -1}
        if not self.diagonal:
            axes["recurrent"] = -1
        return Recurrence(axes, self.features, self.diagonal)

    def init_carry(self, batch: int) -> Carry:
        """Zeros [batch, features]."""
        return jnp.zeros((batch, self.features), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        bias, drive, rate = self._scaled(x)
        if self.diagonal:
            cell = partial(_alone, (1 - rate)[None])
            drive = drive + jnp.broadcast_to(bias, drive.shape)
            return cell_scan(cell, carry, self.init_carry(x.shape[1]), drive, reset)
        gates, weight = leaky_gates, self._weight(rate)
        (_, h), y = recurrent_scan(gates, weight, bias, (), carry, drive, reset)
        return h, y

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        bias, drive, rate = self._scaled(x)
        h = clear(carry, self.init_carry(x.shape[0]), reset)
        if self.diagonal:
            return _alone((1 - rate)[None], h, drive + bias[None])
        _, h = leaky_gates((), drive, recurrent_product(h, self._weight(rate), bias), h)
        return h, h

    def _scaled(self, x: Array) -> tuple[Array, Array, Array]:
        """The bias and the drive, both over tau, and 1 / tau."""
        rate = 1 / jnp.maximum(self.tau, 1)
        drive = self.inputs(x)
        return self.bias * rate, drive * jnp.broadcast_to(rate, drive.shape), rate

    def _weight(self, rate: Array) -> Array:
        """W over tau, with the leak on its diagonal."""
        own = jnp.eye(self.features, dtype=self.dtype)
        return self.recurrent * (1 - own) * rate[None] + own * (1 - rate)[None]

    def _uniform(self, key: Array, shape: tuple[int, ...]) -> Array:
        bound = self.features**-0.5
        return jax.random.uniform(key, shape, jnp.dtype(self.dtype), -bound, bound)

    def _initial_tau(self, key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        """Uniform in [1, 2), as the paper's code."""
        return jax.random.uniform(key, shape, dtype, 1.0, 2.0)
