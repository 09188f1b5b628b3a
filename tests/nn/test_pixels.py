"""Encoders of images: equal to sums over pixels in NumPy, the same by every method."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.agents.networks import KERNELS
from rlseq.nn.pixels import BOARD, DATA_EFFICIENT, NATURE, PATCHES, PixelEncoder, convolve

KEY = jax.random.key(0)


def numpy_convolution(x, kernel, stride):
    side = kernel.shape[0]
    height, width = ((size - side) // stride + 1 for size in x.shape[1:3])
    y = np.zeros((len(x), height, width, kernel.shape[-1]))
    for i, j in np.ndindex(height, width):
        window = x[:, i * stride : i * stride + side, j * stride : j * stride + side]
        y[:, i, j] = np.einsum("bhwc,hwcf->bf", window, kernel)
    return y


@pytest.mark.parametrize("method", ["matmul", "xla"])
@pytest.mark.parametrize(("side", "stride"), [(8, 4), (4, 2), (3, 1), (2, 2)])
def test_a_convolution_equals_numpys_sum_over_windows(side, stride, method):
    x = jax.random.normal(KEY, (2, 14, 11, 3))
    kernel = jax.random.normal(jax.random.key(1), (side, side, 3, 5))
    y = convolve(x, kernel, stride, method)
    expected = numpy_convolution(np.float64(x), np.float64(kernel), stride)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 7, 24])
def test_images_in_groups_have_the_gradients_of_one_product(count):
    x = jax.random.normal(KEY, (count, 9, 8, 3))
    kernel = jax.random.normal(jax.random.key(1), (4, 4, 3, 5))

    def total(x, kernel, method):
        return jnp.square(convolve(x, kernel, 2, method)).sum()

    ours, expected = (jax.grad(total, (0, 1))(x, kernel, m) for m in ("matmul", "xla"))
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


def images(shape):
    return jax.random.randint(KEY, shape, 0, 256).astype(jnp.uint8)


@pytest.mark.parametrize("side", [64, 84])
def test_the_nature_network_has_its_sizes_and_one_result_by_every_method(side):
    x = images((2, 1, side, side, 4))
    run = {m: PixelEncoder(NATURE, (16,), m) for m in ("matmul", "xla")}
    params = jax.jit(run["xla"].init)(KEY, x)
    kernel = params["params"]["DenseStack_0"]["Dense_0"]["kernel"]
    assert kernel.shape == ({64: 4, 84: 7}[side] ** 2 * 64, 16)  # Mnih et al.: 7 x 7 x 64

    def total(params, method):
        return jnp.square(run[method].apply(params, x)).sum()

    found = {m: jax.jit(jax.value_and_grad(total), static_argnums=1)(params, m) for m in run}
    for a, b in zip(jax.tree.leaves(found["matmul"]), jax.tree.leaves(found["xla"]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_bytes_are_read_as_fractions_and_leading_axes_are_kept():
    x = images((3, 2, 10, 10, 4))
    encoder = PixelEncoder(BOARD, (8,))
    params = jax.jit(encoder.init)(KEY, x)
    y = encoder.apply(params, x)
    assert y.shape == (3, 2, 8) and y.dtype == jnp.float32
    np.testing.assert_allclose(y, encoder.apply(params, x.astype(jnp.float32) / 255), rtol=1e-5)
    np.testing.assert_allclose(y[1, 1], encoder.apply(params, x[1, 1]), rtol=1e-5, atol=1e-6)


def test_patches_see_every_pixel_also_of_sides_that_they_do_not_divide():
    encoder = PixelEncoder(PATCHES, (8,))
    x = images((1, 20, 20, 1)).astype(jnp.float32) / 255
    params = jax.jit(encoder.init)(KEY, x)
    seen = jax.grad(lambda x: jnp.square(encoder.apply(params, x)).sum())(x)
    assert (seen != 0).all()


def test_the_data_efficient_network_has_its_sizes_and_numpys_values():
    x = images((2, 84, 84, 4))
    encoder = PixelEncoder(DATA_EFFICIENT, ())
    params = jax.jit(encoder.init)(KEY, x)
    weights = {name: np.float64(value) for name, value in params["params"].items()}
    shapes = {name: value.shape for name, value in weights.items()}
    sizes = {"kernel_0": (7 * 7 * 4, 32), "bias_0": (32,)}
    assert shapes == sizes | {"kernel_1": (3 * 3 * 32, 64), "bias_1": (64,)}
    expected = np.float64(x) / 255
    for i, (channels, side) in enumerate(((4, 7), (32, 3))):
        kernel = weights[f"kernel_{i}"].reshape(side, side, channels, -1)
        expected = numpy_convolution(expected, kernel, side) + weights[f"bias_{i}"]
        expected = np.maximum(expected, 0)
    assert expected.shape == (2, 4, 4, 64)
    np.testing.assert_allclose(
        encoder.apply(params, x), expected.reshape(2, -1), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "layers", [layers for pair in KERNELS.values() for layers in pair[:1] if layers]
)
def test_every_network_sees_all_of_an_atari_screen(layers):
    encoder = PixelEncoder(layers, ())
    x = images((1, 84, 84, 1)).astype(jnp.float32) / 255
    params = jax.jit(encoder.init)(KEY, x)
    seen = jax.grad(lambda x: jnp.square(encoder.apply(params, x)).sum())(x)
    assert (seen != 0).all()
