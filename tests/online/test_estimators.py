"""Gradients carried forward in time against backpropagation through it."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.errors import InputError
from rlseq.nn.encoders import SparseStack
from rlseq.online import ESTIMATORS, Encoded, make_estimator
from tests.online.small import (
    BATCH,
    FEATURES,
    WIDTH,
    both,
    by_backpropagation,
    by_estimator,
    drawn,
    init,
)

WIDE = {"features": FEATURES, "layers": 1}
PLAIN = {"mixer": "none", "residual": False}
# A core's options; the linear ones with what stands before and behind a layer of theirs.
EXACT = {
    "lru": {},
    "s5": {"norm": "pre"},
    "s5 bilinear": {"discretization": "bilinear", "mixer": "half_glu1"},
    "s4d": {"state_size": 4, "norm": "post"},
    "min_gru": {},
    "rtu": {},
    "rtu tanh": {"activation": "tanh", "residual": True, "gate": "gtrxl"},
    "leaky_rnn": {"diagonal": True},
}


def core(name, dtype="float32", **options):
    return rlseq.make_core(name.split()[0], dtype=dtype, **(WIDE | options))


def close(estimated, exact, rtol):
    """Leaf by leaf; rounding goes by the size of the largest entry."""
    assert jax.tree.structure(estimated) == jax.tree.structure(exact)
    for one, other in zip(jax.tree.leaves(estimated), jax.tree.leaves(exact), strict=True):
        other = np.asarray(other)
        np.testing.assert_allclose(one, other, rtol=0, atol=rtol * max(1, np.abs(other).max()))


@pytest.mark.parametrize("name", EXACT)
def test_rtrl_is_backpropagation_through_time(name):
    with jax.enable_x64(True):
        module, dtype = core(name, "float64", **EXACT[name]), "float64"
        params, data = init(module, dtype), drawn(dtype)
        (exact, whole), (estimated, y) = both(make_estimator("rtrl", module), params, *data)
        close(estimated, exact, 1e-11)
        np.testing.assert_allclose(y, whole, atol=1e-12)
        assert all(np.abs(leaf).max() > 1e-4 for leaf in jax.tree.leaves(exact))


def test_the_gradient_of_one_step_is_another():
    module = core("rtu")
    params, data = init(module, "float32"), drawn("float32")
    (exact, _), (one_step, _) = both(make_estimator("truncated", module), params, *data)
    with pytest.raises(AssertionError):
        close(one_step, exact, 1e-1)
    first = [leaf[:1] for leaf in data]
    (exact, _), (one_step, _) = both(make_estimator("truncated", module), params, *first)
    close(one_step, exact, 1e-5)


class Mean(nn.Module):
    """An encoder of two layers."""

    @nn.compact
    def __call__(self, x):
        return nn.LayerNorm()(nn.tanh(nn.Dense(FEATURES)(x)))


@pytest.mark.parametrize("name", ["rtu", "lru"])
def test_rtrl_is_exact_for_an_encoder_before_the_core_too(name):
    module = Encoded(Mean(), core(name, **PLAIN))
    params, data = init(module, "float32"), drawn("float32")
    (exact, _), (estimated, _) = both(make_estimator("rtrl", module), params, *data)
    close(estimated, exact, 1e-5)
    assert len(jax.tree.leaves(exact["params"]["encoder"])) == 4


@pytest.mark.parametrize(("kind", "name"), [("rtrl", "rtu"), ("snap1", "gru")])
def test_in_half_precision_estimates_are_near_those_of_float32(kind, name):
    """Products are rounded at every step, and what is carried is not: nothing adds up."""
    data, found = drawn("float32"), []
    for dtype in ("float32", "bfloat16"):
        module = Encoded(SparseStack((FEATURES,), 0.0, dtype), core(name, dtype, **PLAIN))
        params = init(module, "float32")
        one, y = jax.jit(partial(by_estimator, make_estimator(kind, module)))(params, *data)
        found.append((one, y.astype(jnp.float32)))
    (exact, whole), (near, half) = found
    assert {leaf.dtype for leaf in jax.tree.leaves(near)} == {jnp.dtype("float32")}
    close(near, exact, 0.05)
    np.testing.assert_allclose(half, whole, atol=0.05)
    assert np.abs(half - whole).max() > 0


@pytest.mark.parametrize("name", ["rtu", "leaky_rnn", "s4d"])
def test_snap1_of_a_diagonal_core_is_rtrl(name):
    module = core(name, **EXACT[name])
    params, data = init(module, "float32"), drawn("float32")
    one, other = (
        jax.jit(partial(by_estimator, make_estimator(kind, module)))(params, *data)[0]
        for kind in ("snap1", "rtrl")
    )
    close(one, other, 1e-5)


def snap1_of_gru(p, x, reset, d_y):
    """SnAp-1 of a GRU in NumPy, a row at a time: the gradient by its recurrent matrix [n, 3n].

    For each entry W[j, i of a gate] the influence on h[i] alone, by finite differences of a cell
    written from its equations.
    """
    kernel, bias = p["inputs"]["kernel"], p["inputs"]["bias"]
    n = len(p["bias"]) // 3

    def cell(h, x, weight):
        r, z = (
            1 / (1 + np.exp(-((x @ kernel + bias)[a:b] + (h @ weight + p["bias"])[a:b])))
            for a, b in ((0, n), (n, 2 * n))
        )
        new = np.tanh((x @ kernel + bias)[2 * n :] + r * (h @ weight + p["bias"])[2 * n :])
        return z * h + (1 - z) * new

    weight, eps = p["recurrent"], 1e-6
    total = np.zeros_like(weight)
    for row in range(x.shape[1]):
        h, influence = np.zeros(n), np.zeros((n, 3 * n))
        for t in range(len(x)):
            if reset[t, row]:
                h, influence = np.zeros(n), np.zeros((n, 3 * n))
            own = np.zeros(n)
            for i in range(n):
                step = eps * np.eye(n)[i]
                ahead, back = (cell(h + s, x[t, row], weight)[i] for s in (step, -step))
                own[i] = (ahead - back) / (2 * eps)
            direct = np.zeros_like(weight)
            for j in range(n):
                for k in range(3 * n):
                    change = np.zeros_like(weight)
                    change[j, k] = eps
                    ahead, back = (cell(h, x[t, row], weight + s)[k % n] for s in (change, -change))
                    direct[j, k] = (ahead - back) / (2 * eps)
            # Here y is h: the loss sees the influence after this step, all of F through one step.
            before = influence
            jacobian = np.zeros((n, n))
            for i in range(n):
                step = eps * np.eye(n)[i]
                ahead, back = (cell(h + s, x[t, row], weight) for s in (step, -step))
                jacobian[i] = (ahead - back) / (2 * eps)
            total += np.tile(jacobian @ d_y[t, row], 3)[None] * before
            total += np.tile(d_y[t, row], 3)[None] * direct
            influence = np.tile(own, 3)[None] * before + direct
            h = cell(h, x[t, row], weight)
    return total


def test_snap1_of_a_gru_agrees_with_numpy():
    with jax.enable_x64(True):
        module = core("gru", "float64")
        params, (x, reset, d_y) = init(module, "float64"), drawn("float64")
        estimator = make_estimator("snap1", module)

        def step(trace, inputs):
            x, reset, d_y = inputs
            trace, _, pullback = estimator.step(params, trace, x, reset)
            return trace, pullback(d_y)[0]

        _, steps = jax.jit(partial(jax.lax.scan, step))(
            estimator.init(params, BATCH), (x, reset, d_y)
        )
        got = np.asarray(steps["params"]["layers_0"]["recurrent"]).sum(0)
        layer = jax.tree.map(np.asarray, params["params"]["layers_0"])
        np.testing.assert_allclose(got, snap1_of_gru(layer, x, reset, d_y), atol=1e-6)
        exact, _ = jax.jit(partial(by_backpropagation, module))(params, x, reset, d_y)
        assert np.abs(np.asarray(exact["params"]["layers_0"]["recurrent"]) - got).max() > 1e-3


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_estimates_of_cells_are_exact_for_two_steps_and_nearer_than_one_step_after(name):
    module = core(name)
    params, data = init(module, "float32"), drawn("float32", reset_rate=0.1)
    errors = {}
    for kind in ("snap1", "truncated"):
        (exact, _), (one, _) = both(make_estimator(kind, module), params, *data)
        pairs = zip(jax.tree.leaves(one), jax.tree.leaves(exact), strict=True)
        errors[kind] = sum(float(((a - b) ** 2).sum()) for a, b in pairs)
    assert 0 < errors["snap1"] < 0.2 * errors["truncated"]
    start = [leaf[:2] for leaf in data]
    (exact, _), (two, _) = both(make_estimator("snap1", module), params, *start)
    close(two, exact, 1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gru", {}),
        pytest.param("lstm", {}, marks=pytest.mark.slow),
        pytest.param("s5", {"layers": 2}, marks=pytest.mark.slow),
    ],
)
def test_uoro_is_unbiased(name, options):
    draws, module = 4096, core(name, **options)
    params, data = init(module, "float32"), drawn("float32")
    exact, _ = jax.jit(partial(by_backpropagation, module))(params, *data)
    estimator = make_estimator("uoro", module)

    @jax.jit
    def moments(key):
        def one(key):
            return by_estimator(estimator, params, *data, key)[0]

        every = jax.lax.map(one, jax.random.split(key, draws), batch_size=512)
        return [(g.mean(0), g.std(0)) for g in jax.tree.leaves(every)]

    found = moments(jax.random.key(1))
    # In standard errors of a mean of 4096 draws; 1e-4 is what rounding leaves.
    z = [
        (np.asarray(mean) - expected) / (np.asarray(deviation) / np.sqrt(draws) + 1e-4)
        for expected, (mean, deviation) in zip(jax.tree.leaves(exact), found, strict=True)
    ]
    z = np.concatenate([leaf.ravel() for leaf in z])
    assert np.abs(z).max() < 5.5 and (z**2).mean() < 1.6  # of hundreds of entries
    assert max(deviation.max() for _, deviation in found) > 1


@pytest.mark.parametrize("kind", ["rtrl", "snap1", "uoro", "truncated"])
def test_a_reset_clears_everything_and_keeps_the_form(kind):
    module = core("rtu")
    params, (x, _, d_y) = init(module, "float32"), drawn("float32")
    estimator, reset = make_estimator(kind, module), jnp.array([True, False, True])
    step = jax.jit(lambda trace, reset: _after(estimator, params, trace, x[0], reset, d_y[0]))
    fresh = estimator.init(params, BATCH)
    lost = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), fresh)
    expected, broken = step(fresh, reset), step(lost, reset)
    for one, other in zip(jax.tree.leaves(expected), jax.tree.leaves(broken), strict=True):
        np.testing.assert_array_equal(np.asarray(one)[[0, 2]], np.asarray(other)[[0, 2]])
    assert all(np.isnan(np.asarray(leaf)[1]).any() for leaf in jax.tree.leaves(broken.carry))
    form = partial(jax.tree.map, lambda leaf: (leaf.shape, leaf.dtype))
    assert form(expected) == form(fresh)


def _after(estimator, params, trace, x, reset, d_y):
    return estimator.step(params, trace, x, reset, jax.random.key(3))[0]


def test_the_pullback_gives_the_gradient_by_the_inputs_of_its_step():
    module = core("rtu")
    params, (x, reset, d_y) = init(module, "float32"), drawn("float32")
    estimator = make_estimator("rtrl", module)

    @jax.jit
    def both_ways(x, reset, d_y):
        trace, _, _ = estimator.step(params, estimator.init(params, BATCH), x[0], reset[0])
        _, _, pullback = estimator.step(params, trace, x[1], reset[1])

        def output(x):
            y = module.apply(params, trace.carry, x, reset[1], method="step")[1]
            return (y * d_y[1]).sum()

        return pullback(d_y[1])[1], jax.grad(output)(x[1])

    np.testing.assert_allclose(*both_ways(x, reset, d_y), atol=1e-6)


def test_what_does_not_fit_is_named_with_what_does():
    with pytest.raises(InputError, match=r"'rtrl' does not fit 1 layer of GRU; .* layers=1: .*"):
        make_estimator("rtrl", core("gru"))
    fits = {}
    for kind, misfit in (("rtrl", "gru"), ("snap1", "mamba2"), ("uoro", "mlp")):
        with pytest.raises(InputError) as raised:
            make_estimator(kind, core(misfit))
        fits[kind] = str(raised.value).split(": ")[1].split(", ")
    assert fits["rtrl"] == ["leaky_rnn with diagonal=true", "lru", "min_gru", "rtu", "s4d", "s5"]
    assert fits["snap1"] == ["gru", "leaky_rnn", "lru", "lstm", "min_gru", "rtu", "s4d", "s5"]
    assert fits["uoro"] == [name for name in rlseq.core_names() if name != "mlp"]
    with pytest.raises(InputError, match="2 layers of RTU; it fits these cores with layers=1"):
        make_estimator("snap1", core("rtu", layers=2))
    with pytest.raises(InputError, match="does not fit 1 layer of LSTM"):
        make_estimator("snap1", core("lstm", heads=2))
    with pytest.raises(InputError, match=r"unknown estimator 'rtlr'. Did you mean 'rtrl'"):
        make_estimator("rtlr", core("rtu"))
    with pytest.raises(ValueError, match="its step needs a key"):
        estimator = make_estimator("uoro", core("gru"))
        x, reset, _ = drawn("float32")
        params = init(core("gru"), "float32")
        estimator.step(params, estimator.init(params, BATCH), x[0], reset[0])


def test_auto_takes_the_best_that_fits():
    chosen = {
        "rtu": "rtrl", "s5": "rtrl", "gru": "snap1", "lstm": "snap1", "leaky_rnn": "snap1",
        "mlp": "truncated", "mamba2": "truncated",
    }  # fmt: skip
    for name, expected in chosen.items():
        assert make_estimator("auto", core(name)).name == expected
    assert make_estimator("auto", core("s5", layers=2)).name == "truncated"
    assert {"auto", *chosen.values(), "uoro"} == set(ESTIMATORS)


@pytest.mark.parametrize("name", [n for n in rlseq.core_names() if n != "mlp"])
def test_every_core_that_remembers_can_be_traced_by_uoro(name):
    module = core(name)
    estimator = make_estimator("uoro", module)
    x, reset, d_y = drawn("float32")

    def step(key):
        params = module.init(key, module.init_carry(BATCH), x, reset)
        trace = estimator.init(params, BATCH)
        trace, _, pullback = estimator.step(params, trace, x[0], reset[0], key)
        return params, trace, pullback(d_y[0])[0]

    params, trace, gradient = jax.eval_shape(step, jax.random.key(0))
    assert jax.tree.map(jnp.shape, gradient) == jax.tree.map(jnp.shape, params)
    assert all(leaf.shape[0] == BATCH for leaf in jax.tree.leaves(trace))
    assert x.shape[-1] == WIDTH
