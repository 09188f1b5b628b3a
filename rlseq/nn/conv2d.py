"""Convolutions over images [..., H, W, C] that keep or divide the sides, and ones that double.

On CPUs XLA's gradients of strided convolutions and of kernels take many times a forward pass.
There the gradient of the input is a convolution of stride 1 whose channels become pixels, and that
of the kernel a product of matrices per row of taps, a few images at a time.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.nn.initialisers import fan_average

AXES = ("NHWC", "HWIO", "NHWC")
CELL = 2  # ours: a side of the cells in which few outputs are computed together
FEW = 4  # ours: outputs that leave most of a vector empty
WIDE = 5  # ours: narrower kernels win nothing in cells
PLACES = 4096  # ours: outputs whose taps are gathered at a time; more of them leave the caches


def conv2d(x: Array, kernel: Array, stride: int = 1) -> Array:
    """x [N, H, W, C], kernel [k, k, C, D] -> [N, H / stride, W / stride, D].

    Padded with k // 2 zeros at the top and left, with as many at the other ends as it takes.
    """
    if not _on_cpu():
        return _conv(x, kernel, stride)
    few = kernel.shape[0] >= WIDE and kernel.shape[-1] <= FEW
    if few and stride == 1 and not any(side % CELL for side in x.shape[1:3]):
        return _conv_of_cells(x, kernel)
    return _conv_on_cpu(x, kernel, stride)


def conv2d_transposed(x: Array, kernel: Array) -> Array:
    """x [N, H, W, C], kernel [k, k, C, D] -> [N, 2 H, 2 W, D]: the adjoint of stride 2."""
    if _on_cpu():
        return _transposed_on_cpu(x, kernel)
    size = kernel.shape[0]
    pads = [(size - 1 - size // 2, size // 2 + 1)] * 2
    return lax.conv_general_dilated(
        x, jnp.flip(kernel, (0, 1)), (1, 1), pads, lhs_dilation=(2, 2), dimension_numbers=AXES
    )


class Conv2D(nn.Module):
    """A convolution with bias; the sides stay, or are divided by `stride`, which divides them."""

    width: int
    kernel: int
    stride: int = 1
    dtype: str = "float32"  # of products and results; parameters are float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., H, W, C] -> [..., H / stride, W / stride, width]."""
        kernel, bias = _parameters(self, x.shape[-1])
        x = x.astype(self.dtype)
        y = conv2d(x.reshape(-1, *x.shape[-3:]), kernel, self.stride) + bias
        return y.reshape(*x.shape[:-3], *y.shape[1:])


class ConvTransposed2D(nn.Module):
    """A transposed convolution with bias that doubles both sides."""

    width: int
    kernel: int
    dtype: str = "float32"  # as of `Conv2D`

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [..., H, W, C] -> [..., 2 H, 2 W, width]."""
        kernel, bias = _parameters(self, x.shape[-1])
        x = x.astype(self.dtype)
        y = conv2d_transposed(x.reshape(-1, *x.shape[-3:]), kernel) + bias
        return y.reshape(*x.shape[:-3], *y.shape[1:])


def _parameters(layer: Conv2D | ConvTransposed2D, channels: int) -> tuple[Array, Array]:
    """The kernel [k, k, channels, width] and the bias [1, 1, 1, width], as products take them."""
    shape = (layer.kernel, layer.kernel, channels, layer.width)
    kernel = layer.param("kernel", fan_average(), shape, jnp.float32)
    bias = layer.param("bias", nn.initializers.zeros, (layer.width,), jnp.float32)
    return kernel.astype(layer.dtype), jnp.expand_dims(bias, (0, 1, 2)).astype(layer.dtype)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _padding(side: int, size: int, stride: int) -> tuple[int, int]:
    before = size // 2
    return before, max((side // stride - 1) * stride + size - side - before, 0)


def _conv(x: Array, kernel: Array, stride: int) -> Array:
    pads = [_padding(side, kernel.shape[0], stride) for side in x.shape[1:3]]
    return lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=AXES)


def _conv_of_cells(x: Array, kernel: Array) -> Array:
    """A convolution of stride 1 over cells of 2 x 2 pixels, whose channels lie side by side.

    A product with few columns leaves most of a CPU's vector empty; here it has four times as many.
    The zeros in the kernel cost less than that.
    """
    n, high, wide, channels = x.shape
    size = kernel.shape[0]
    around = -(-(size // 2) // CELL)  # cells on each side that a place of the middle one sees
    span = 2 * around + 1
    before = [around * CELL - size // 2 + i for i in range(CELL)]
    pads = [(low, span * CELL - size - low) for low in before]
    kernels = [jnp.pad(kernel, (a, b, (0, 0), (0, 0))) for a in pads for b in pads]
    taps = jnp.stack(kernels, axis=3).reshape(span, CELL, span, CELL, channels, -1)
    taps = taps.transpose(0, 2, 1, 3, 4, 5).reshape(span, span, CELL * CELL * channels, -1)
    cells = x.reshape(n, high // CELL, CELL, wide // CELL, CELL, channels)
    cells = cells.transpose(0, 1, 3, 2, 4, 5).reshape(n, high // CELL, wide // CELL, -1)
    y: Any = _conv_on_cpu(cells, taps, 1)
    return _apart(y, CELL)


def _apart(y: Array, stride: int) -> Array:
    """[N, h, w, stride stride C] -> [N, stride h, stride w, C]: channels become pixels."""
    n, high, wide, _ = y.shape
    y = y.reshape(n, high, wide, stride, stride, -1).transpose(0, 1, 3, 2, 4, 5)
    return y.reshape(n, stride * high, stride * wide, -1)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv_on_cpu(x: Array, kernel: Array, stride: int) -> Array:
    return _conv(x, kernel, stride)


def _conv_forward(x: Array, kernel: Array, stride: int) -> tuple[Array, tuple[Array, Array]]:
    return _conv(x, kernel, stride), (x, kernel)


def _conv_backward(stride: int, kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = kept
    return _spread(g, kernel, stride), _kernel_gradient(x, g, kernel.shape[0], stride)


_conv_on_cpu.defvjp(_conv_forward, _conv_backward)


@jax.custom_vjp
def _transposed_on_cpu(x: Array, kernel: Array) -> Array:
    return _spread(x, jnp.swapaxes(kernel, 2, 3), 2)


def _transposed_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _transposed_on_cpu(x, kernel), (x, kernel)


def _transposed_backward(kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = kept
    of_kernel = _kernel_gradient(g, x, kernel.shape[0], 2)
    return _conv(g, jnp.swapaxes(kernel, 2, 3), 2), jnp.swapaxes(of_kernel, 2, 3)


_transposed_on_cpu.defvjp(_transposed_forward, _transposed_backward)


def _spread(g: Array, kernel: Array, stride: int) -> Array:
    """The adjoint of `_conv` in its input: g [N, h, w, D] -> [N, stride h, stride w, C].

    Output stride * a + b sees input a + m through tap stride * q + b, where m = before / stride -
    q: taps of one q are a convolution, and those of one b make up a channel of it.
    """
    size, _, channels, width = kernel.shape
    front = -(size // 2) % stride
    count = -(-(size + front) // stride)
    taps = (front, count * stride - size - front)
    kernel = jnp.pad(kernel, (taps, taps, (0, 0), (0, 0)))
    kernel = kernel.reshape(count, stride, count, stride, channels, width)
    kernel = jnp.flip(kernel, (0, 2)).transpose(0, 2, 5, 1, 3, 4)
    kernel = kernel.reshape(count, count, width, stride * stride * channels)
    after = (size // 2 + front) // stride
    pads = [(count - 1 - after, after)] * 2
    y = lax.conv_general_dilated(g, kernel, (1, 1), pads, dimension_numbers=AXES)
    return _apart(y, stride)


def _kernel_gradient(x: Array, g: Array, size: int, stride: int) -> Array:
    """The gradient [size, size, C, D] of `_conv` in its kernel: x [N, H, W, C], g [N, h, w, D]."""
    n, high, wide, width = g.shape
    most = max(1, PLACES // (high * wide))
    group = next(m for m in range(min(most, n), 0, -1) if n % m == 0)
    parts = [leaf.reshape(n // group, group, *leaf.shape[1:]) for leaf in (x, g)]
    zero = jnp.zeros((size, size * x.shape[-1], width), x.dtype)

    def body(total, part):
        images, gradients = part
        return total + _row_products(images, gradients, size, stride), None

    total, _ = lax.scan(body, zero, parts)
    return total.reshape(size, size, x.shape[-1], width)


def _row_products(x: Array, g: Array, size: int, stride: int) -> Array:
    """`_kernel_gradient` of few images, [size, size * C, D]: one product per row of taps."""
    _, high, wide, width = g.shape
    pads = [_padding(side, size, stride) for side in x.shape[1:3]]
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    ends = (stride * (wide - 1) + 1, stride * (high - 1) + 1)
    taps = [x[:, :, i : i + ends[0] : stride] for i in range(size)]
    beside = jnp.concatenate(taps, axis=-1)
    rows = [beside[:, i : i + ends[1] : stride] for i in range(size)]
    g = g.reshape(-1, width)
    flat = (g.shape[0], size * x.shape[-1])
    return jnp.stack([row.reshape(flat).T @ g for row in rows])
