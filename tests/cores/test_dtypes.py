"""Cores in half and double precision: what is in which dtype, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.errors import InputError
from tests import kinds
from tests.draws import Draws

T, B, D, FEATURES = 12, 3, 5, 8
BLOCKS = (
    {"norm": "post", "mixer": "mlp", "residual": True, "gate": "gtrxl"},
    {"norm": "pre_rms", "mixer": "half_glu1"},
    {"norm": "pre", "mixer": "glu", "dropout": 0.1},
)
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
