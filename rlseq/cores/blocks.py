"""Pieces of the block around a layer."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.dtypes import held_in


class GTrXLGate(nn.Module):
    """The GRU-type gate of GTrXL (Parisotto et al. 1910.06764, section 3.2) for a residual.

    r = sigma(W_r y + U_r x), z = sigma(W_z y + U_z x - b), n = tanh(W_n y + U_n (r x)) and
    (1 - z) x + z n. With b = 2 a fresh block passes nearly all of x on.
    """

    features: int
    dtype: str = "float32"
    bias: float = 2.0  # the paper's

    def setup(self) -> None:
        n, held = self.features, held_in(self.dtype)
        dense = partial(nn.Dense, use_bias=False, dtype=self.dtype, param_dtype=held)
        self.of_y, self.of_x, self.of_kept = dense(3 * n), dense(2 * n), dense(n)
        start = nn.initializers.constant(self.bias)
        self.b = self.param("b", start, (n,), jnp.dtype(held))

    def __call__(self, x: Array, y: Array) -> Array:
        """The stream x and the layer's y, both [..., features] -> [..., features]."""
        y_r, y_z, y_n = jnp.split(self.of_y(y), 3, axis=-1)
        x_r, x_z = jnp.split(self.of_x(x), 2, axis=-1)
        z = jax.nn.sigmoid(y_z + x_z - jnp.broadcast_to(self.b.astype(x.dtype), x.shape))
        n = jnp.tanh(y_n + self.of_kept(jax.nn.sigmoid(y_r + x_r) * x))
        return (1 - z) * x + z * n
