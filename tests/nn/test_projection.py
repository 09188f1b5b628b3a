"""Products in bfloat16 against NumPy: rounded factors, exact sums, in the gradient too."""

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.nn.projection import Projection, project

TIME, BATCH, WIDTH, OUT = 3, 2, 300, 5  # so wide that sums in bfloat16 would be seen


def rounded(x):
    return np.asarray(jnp.asarray(x).astype(jnp.bfloat16).astype(jnp.float32), np.float64)


def test_factors_are_rounded_and_sums_are_not():
    layer = Projection(OUT, matmul_dtype="bfloat16", bias_init=jax.nn.initializers.ones)
    x, mix = (
        jax.random.normal(jax.random.key(i), (TIME, BATCH, width))
        for i, width in enumerate((WIDTH, OUT))
    )
    params = jax.jit(layer.init)(jax.random.key(2), x)

    def loss(params, x):
        y = layer.apply(params, x)
        return (y * mix).sum(), y

    (by_params, by_x), y = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(params, x)
    kernel, g = rounded(params["params"]["dense"]["kernel"]), rounded(mix)
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(y, rounded(x) @ kernel + 1, **close)
    np.testing.assert_allclose(by_x, g @ kernel.T, **close)
    by_dense = by_params["params"]["dense"]
    np.testing.assert_allclose(by_dense["kernel"], np.einsum("tbd,tbn->dn", rounded(x), g), **close)
    np.testing.assert_allclose(by_dense["bias"], np.asarray(mix).sum((0, 1)), **close)
    assert {leaf.dtype for leaf in jax.tree.leaves((y, by_x, by_params))} == {np.dtype("float32")}


def test_blocks_are_rounded_alike():
    heads = 4
    x, kernel, mix = (
        jax.random.normal(jax.random.key(i), shape)
        for i, shape in enumerate(
            [(TIME, BATCH, heads, WIDTH), (heads, WIDTH, OUT), (TIME, BATCH, heads, OUT)]
        )
    )

    def loss(x, kernel):
        y = project(x, kernel, "bfloat16")
        return (y * mix).sum(), y

    (by_x, by_kernel), y = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x, kernel)
    a, b, g = map(rounded, (x, kernel, mix))
    close = {"rtol": 1e-5, "atol": 1e-4}
    np.testing.assert_allclose(y, np.einsum("tbhi,hij->tbhj", a, b), **close)
    np.testing.assert_allclose(by_x, np.einsum("tbhj,hij->tbhi", g, b), **close)
    np.testing.assert_allclose(by_kernel, np.einsum("tbhi,tbhj->hij", a, g), **close)
    assert {leaf.dtype for leaf in (y, by_x, by_kernel)} == {np.dtype("float32")}
    np.testing.assert_allclose(
        project(x, kernel, ""), np.einsum("tbhi,hij->tbhj", x, kernel), rtol=1e-4, atol=1e-4
    )
