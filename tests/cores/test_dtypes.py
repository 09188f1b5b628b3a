"""Cores in half and double precision: what is in which dtype, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.errors import InputError
from tests import kinds
from tests.draws import Draws
from tests.products import products

T, B, D, FEATURES = 12, 3, 5, 8
BLOCKS = (
    {"norm": "post", "mixer": "mlp", "residual": True, "gate": "gtrxl"},
    {"norm": "pre_rms", "mixer": "half_glu1"},
    {"norm": "pre", "mixer": "glu", "dropout": 0.1},
)
# Projections of one layer that are no kernel of a dense layer; those of `universal` are used again.
MATRICES = {"lru": 2, "mlstm": 4, "s5": 2, "slstm": 1, "universal": 2, "window": 4}
WITHOUT = ["s4d"]  # a state space a channel: nothing mixes channels, all of it is the scan
FORMS = [(name, {}) for name in rlseq.core_names()] + [("gru", block) for block in BLOCKS]


def dtypes(tree) -> set[str]:
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree)}


def everything(fns, x, key):
    """Parameters, both carries and results, and gradients; x [T, B, D]."""
    params, carry, reset = fns.init(key), fns.init_carry(B), jnp.zeros((T, B), bool)

    def total(params):
        return fns.scan(params, carry, x, reset)[1].astype(jnp.float32).sum()

    after, y = fns.scan(params, carry, x, reset)
    one, y_t = fns.step(params, carry, x[0], reset[0])
    return (params, jax.grad(total)(params), carry, after, one), (y, y_t)


@pytest.mark.parametrize(("name", "block"), FORMS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_what_is_in_which_dtype(name, block, dtype):
    held = "float64" if dtype == "float64" else "float32"
    with jax.enable_x64(dtype == "float64"):
        fns = rlseq.functional(name, D, FEATURES, dtype=dtype, **block)
        for given in ("float32", dtype):
            x = jax.ShapeDtypeStruct((T, B, D), given)
            kept, results = jax.eval_shape(
                lambda x, fns=fns: everything(fns, x, jax.random.key(0)), x
            )
            assert dtypes(kept) == {held}
            assert dtypes(results) == {dtype}


@pytest.mark.parametrize("name", rlseq.core_names())
def test_factors_of_every_projection_are_in_half_precision_forward_and_backward(name):
    assert ("matmul_dtype" in rlseq.cores.core_options(name)) == (name not in WITHOUT)
    bare = {"layers": 1, "norm": "none", "mixer": "none", "residual": False}
    core = rlseq.make_core(name, FEATURES, dtype="bfloat16", **bare)
    carry, x, reset = core.init_carry(B), jnp.zeros((T, B, FEATURES)), jnp.zeros((T, B), bool)
    params = jax.eval_shape(core.init, jax.random.key(0), carry, x, reset)

    def total(params, x):
        return core.apply(params, carry, x, reset)[1].astype(jnp.float32).sum()

    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    kernels = sum(path[-1].key == "kernel" for path in paths)
    seen = products(jax.grad(total, (0, 1)), params, x)
    # Each is a factor of the result, of the gradient by its input and of that by itself.
    assert seen["bfloat16"] == 3 * (kernels + MATRICES.get(name, 0))
    assert set(seen) <= {"bfloat16", "float32"}


@pytest.mark.parametrize("name", kinds.cores())
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_float32(name, dtype):
    draws = Draws(3)
    x, reset = draws.normal(T, B, D), draws.happens(0.2, T, B)
    whole, half = (rlseq.functional(name, D, FEATURES, dtype=d) for d in ("float32", dtype))
    params = whole.init(jax.random.key(0))
    _, exact = jax.jit(whole.scan)(params, whole.init_carry(B), x, reset)
    carry = half.init_carry(B)
    _, y = jax.jit(half.scan)(params, carry, x, reset)
    steps = []
    step = jax.jit(half.step)
    for x_t, reset_t in zip(x, reset, strict=True):
        carry, y_t = step(params, carry, x_t, reset_t)
        steps.append(y_t)
    scale = np.abs(exact).max()
    for close in (y, np.stack(steps)):
        assert 0 < np.abs(np.asarray(close, np.float32) - exact).max() < 0.04 * scale


def test_half_precision_takes_the_projections_along_where_a_core_has_them():
    assert rlseq.make_core("mamba2", 8, dtype="bfloat16").layers[0].matmul_dtype == "bfloat16"
    asked = rlseq.make_core("mamba2", 8, dtype="float16", matmul_dtype="bfloat16")
    assert asked.layers[0].matmul_dtype == "bfloat16"
    mixed = rlseq.make_core("stack", 8, layers=["mamba2", "gru"], dtype="bfloat16")
    assert mixed.layers[0].matmul_dtype == "bfloat16"
    assert {layer.dtype for layer in mixed.layers} == {"float32"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "bf16"}, "'bf16'. Did you mean 'bfloat16'"),
        ({"dtype": "zzz"}, "core 'mamba2': unknown dtype 'zzz'"),
        ({"dtype": ""}, "unknown dtype ''"),
        ({"dtype": "int32"}, "'int32'"),
        ({"dtype": "float64"}, "dtype float64 needs JAX_ENABLE_X64=1"),
        ({"matmul_dtype": "bfloat"}, "unknown matmul_dtype 'bfloat'"),
    ],
)
def test_dtypes_that_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        rlseq.make_core("mamba2", 8, **options)


def test_inputs_of_another_dtype_are_refused():
    fns = rlseq.functional("gru", D, FEATURES, dtype="bfloat16")
    x = jax.ShapeDtypeStruct((T, B, D), "float16")
    with pytest.raises(ValueError, match="x must be bfloat16 or float32, got float16"):
        jax.eval_shape(lambda x: everything(fns, x, jax.random.key(0)), x)
