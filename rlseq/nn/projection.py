"""Dense products whose factors may be bfloat16 while parameters and results stay float32."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


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
    """x [..., D] times kernel [D, N], or blocks x [..., H, D] times [H, D, N]; y of x's dtype.

    For matrices that no dense layer holds; factors in `matmul_dtype`, "" is x's dtype.
    """
    if matmul_dtype not in ("", x.dtype.name):
        return product(x, kernel, matmul_dtype)
    return x @ kernel if kernel.ndim == 2 else _blocks(x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(x: Array, kernel: Array, dtype: str) -> Array:
    """`project` with factors rounded to `dtype`, summed and returned unrounded.

    A result in bfloat16 would be rounded in some programs and not in others, as XLA fuses it, and a
    sequence would differ from its steps. The gradient's products are of `dtype` as well.
    """
    return _blocks(x.astype(dtype), kernel.astype(dtype), x.dtype)


def _forward(x: Array, kernel: Array, dtype: str) -> tuple[Array, tuple[Array, Array]]:
    return product(x, kernel, dtype), (x.astype(dtype), kernel.astype(dtype))


def _backward(dtype: str, factors: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = factors
    rounded = g.astype(dtype)
    by_x = _blocks(rounded, kernel.mT, g.dtype)
    heads = kernel.shape[:-2]
    rows = (a.reshape(-1, *heads, a.shape[-1]) for a in (x, rounded))
    by_kernel = jnp.einsum("t...i,t...j->...ij", *rows, preferred_element_type=g.dtype)
    return by_x, by_kernel


product.defvjp(_forward, _backward)


def _blocks(x: Array, kernel: Array, dtype: Any = None) -> Array:
    """x [..., *H, D] and kernel [*H, D, N] -> [..., *H, N], summed in `dtype`."""
    heads = "abcd"[: kernel.ndim - 2]
    return jnp.einsum(
        f"...{heads}i,{heads}ij->...{heads}j", x, kernel, preferred_element_type=dtype
    )
