"""A dense layer whose products may run in bfloat16 while parameters and result stay float32."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


class Projection(nn.Module):
    """y = W x + b; the factors of products in `matmul_dtype`, sums, parameters and y in `dtype`.

    Cores project with it and scan in `dtype`: decays and cumulative sums never leave float32.
    """

    width: int
    use_bias: bool = True
    dtype: str = "float32"
    matmul_dtype: str = ""  # "" is `dtype`
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., D] of `dtype` -> y [..., width] of `dtype`."""
        dtype = self.matmul_dtype or self.dtype
        dense = nn.Dense(
            self.width,
            self.use_bias,
            dtype=self.dtype,
            param_dtype=self.dtype,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            dot_general=None if dtype == self.dtype else partial(_dot, dtype),
            name="dense",
        )
        return dense(x)


def _dot(dtype: str, x: Array, kernel: Array, dimensions: tuple, precision: None) -> Array:
    """The product of a dense layer in the form in which flax asks for it."""
    return product(x, kernel, dtype)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(x: Array, kernel: Array, dtype: str) -> Array:
    """x [..., D] times kernel [D, N], factors rounded to `dtype`, summed and returned unrounded.

    A result in bfloat16 would be rounded in some programs and not in others, as XLA fuses it, and a
    sequence would differ from its steps. The gradient's products are of `dtype` as well.
    """
    return jnp.matmul(x.astype(dtype), kernel.astype(dtype), preferred_element_type=x.dtype)


def _forward(x: Array, kernel: Array, dtype: str) -> tuple[Array, tuple[Array, Array]]:
    return product(x, kernel, dtype), (x.astype(dtype), kernel.astype(dtype))


def _backward(dtype: str, factors: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = factors
    rounded = g.astype(dtype)
    by_x = jnp.matmul(rounded, kernel.T, preferred_element_type=g.dtype)
    rows = x.reshape(-1, x.shape[-1]).T, rounded.reshape(-1, g.shape[-1])
    return by_x, jnp.matmul(*rows, preferred_element_type=g.dtype)


product.defvjp(_forward, _backward)
