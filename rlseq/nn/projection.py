"""Dense products whose factors may be bfloat16 while parameters and results stay float32."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax


def dense(width: int, *, dtype: str, matmul_dtype: str, **options: Any) -> nn.Dense:
    """flax's dense layer; factors in `matmul_dtype` ("" is `dtype`), all else in `dtype`.

    Options are flax's, such as `use_bias` and `kernel_init`.
    """
    short = matmul_dtype not in ("", dtype)
    options["dot_general"] = partial(_dot, matmul_dtype) if short else None
    return nn.Dense(width, dtype=dtype, param_dtype=dtype, **options)


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
        layer = dense(
            self.width,
            use_bias=self.use_bias,
            dtype=self.dtype,
            matmul_dtype=self.matmul_dtype,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            name="dense",
        )
        return layer(x)


def _dot(dtype: str, x: Array, kernel: Array, dimensions: tuple, precision: None) -> Array:
    """The product of a dense layer in the form in which flax asks for it."""
    return product(x, kernel, dtype)


def project(x: Array, kernel: Array, matmul_dtype: str) -> Array:
    """x [..., D] times kernel [D, N], or blocks x [..., *H, D] times [*H, D, N]; y of x's dtype.

    For matrices that no dense layer holds; factors in `matmul_dtype`, "" is x's dtype.
    """
    heads, axis = kernel.ndim - 2, 1 - kernel.ndim
    if matmul_dtype in ("", x.dtype.name):
        h = "abcd"[:heads]
        return jnp.einsum(f"...{h}i,{h}ij->...{h}j", x, kernel) if heads else x @ kernel
    if not heads:
        return product(x, kernel, matmul_dtype)
    # In the order of an einsum's axes, XLA has no such product of bfloat16 on CPUs.
    return jax.vmap(partial(project, matmul_dtype=matmul_dtype), (axis, 0), axis)(x, kernel)


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
    by_kernel = jnp.matmul(*rows, preferred_element_type=g.dtype)
    # XLA would merge it with the transpose of a kernel that is one: CPUs have no such product.
    return by_x, lax.optimization_barrier(by_kernel)


product.defvjp(_forward, _backward)
