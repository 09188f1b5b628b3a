"""A dense layer whose product may run in bfloat16 while parameters and result stay float32."""

from collections.abc import Callable

import flax.linen as nn
from jax import Array


class Projection(nn.Module):
    """y = W x + b; the product in `matmul_dtype`, parameters and y in `dtype`.

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
        dense = nn.Dense(
            self.width,
            self.use_bias,
            dtype=self.matmul_dtype or self.dtype,
            param_dtype=self.dtype,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            name="dense",
        )
        return dense(x).astype(self.dtype)
