"""AL-RNN (Brenner et al. 2410.14240): almost linear, only its last P units are rectified.

z[t] = A z[t-1] + W [z_linear, relu(z_last P)][t-1] + h + C x[t], with A a diagonal. Each of the 2^P
sign patterns of the last P units selects one linear map: `symbolic_code` reads it off.
"""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Dtype, Features, MatmulDtype, Size
from rlseq.errors import InputError
from rlseq.nn.projection import dense
from rlseq.scans.sequential import additive, clear, recurrent_product, recurrent_scan
from rlseq.types import Carry


def symbolic_code(z: Array, rectified: int) -> Array:
    """Which linear region each state z [..., M] lies in: int32 [...] in [0, 2^rectified).

    Bit i is set where unit M - rectified + i is positive.
    """
    signs = z[..., z.shape[-1] - rectified :] > 0
    weights = 2 ** jnp.arange(rectified, dtype=jnp.int32)
    return jnp.sum(jnp.where(signs, weights.reshape((1,) * (z.ndim - 1) + (-1,)), 0), axis=-1)


def split_signs(z: Array, rectified: int) -> Array:
    """[linear units, positive parts, negative parts] of z [..., M]: [..., M + rectified].

    The map is linear in these, so the loop has one matmul and no parameters of its own.
    """
    linear, bent = jnp.split(z, [z.shape[-1] - rectified], axis=-1)
    return jnp.concatenate([linear, jnp.maximum(bent, 0), jnp.minimum(bent, 0)], axis=-1)


def al_step(others: tuple, z: Array, h: Array) -> tuple[tuple, Array]:
    """The next state z, its signs split as h is."""
    return others, split_signs(z, h.shape[-1] - z.shape[-1])


al_gates = additive(al_step)


class ALRNN(nn.Module):
    """One AL-RNN layer whose output is its state; the carry is z [B, features].

    Raises InputError for more rectified units than there are.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 1}

    features: Features
    rectified: Size = 2  # P; the paper's for Lorenz-63
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projection of inputs; "" is `dtype`

    def __post_init__(self) -> None:
        if not 0 <= self.rectified <= self.features:
            raise InputError(
                f"al_rnn: rectified must lie in [0, {self.features}], got {self.rectified}"
            )
        super().__post_init__()

    def setup(self) -> None:
        n, dtype = self.features, jnp.dtype(self.dtype)
        normal = nn.initializers.normal(0.01)  # the paper's code
        self.inputs = dense(n, use_bias=False, dtype=self.dtype, matmul_dtype=self.matmul_dtype)
        self.diagonal = self.param("diagonal", self._initial_diagonal, (n,), dtype)
        self.recurrent = self.param("recurrent", normal, (n, n), dtype)
        self.bias = self.param("bias", nn.initializers.zeros, (n,), dtype)

    def init_carry(self, batch: int) -> Carry:
        """Zeros [batch, features]."""
        return jnp.zeros((batch, self.features), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        h = split_signs(carry, self.rectified)
        matrix, drive = self._matrix(), self.inputs(x)
        (_, h), states = recurrent_scan(al_gates, matrix, self.bias, (), h, drive, reset)
        return self._joined(h), self._joined(states)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        z = clear(carry, self.init_carry(x.shape[0]), reset)
        h = split_signs(z, self.rectified)
        z = self.inputs(x) + recurrent_product(h, self._matrix(), self.bias)
        return z, z

    def _matrix(self) -> Array:
        """[M + P, M], for states with their signs split: negative parts see the diagonal only."""
        diagonal = jnp.diag(self.diagonal)
        negative = diagonal[self.features - self.rectified :]
        return jnp.concatenate([self.recurrent + diagonal, negative])

    def _joined(self, h: Array) -> Array:
        n, linear = self.features, self.features - self.rectified
        return jnp.concatenate([h[..., :linear], h[..., linear:n] + h[..., n:]], axis=-1)

    def _initial_diagonal(self, key: Array, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        # Ours: memories of two to a hundred steps. The paper's random positive-definite start
        # forgets within a few steps at large sizes.
        return jax.random.uniform(key, shape, dtype, 0.5, 0.99)
