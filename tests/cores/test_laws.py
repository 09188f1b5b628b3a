"""The laws that every registered core passes; a new one is tested once its line is there."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlseq
from rlseq import registry
from rlseq.cores import core_options

from .laws import BATCH, FEATURES, WIDTH, assert_close, case, options
from .twins import twin_of

cores = pytest.mark.parametrize("name", rlseq.core_names())
# Few lengths, so that few programs compile; hypothesis varies the resets inside them.
lengths = st.sampled_from([1, 2, 7, 12])
seeds = st.integers(0, 2**20)
rates = st.sampled_from([0.0, 0.3, 1.0])
drawn = settings(max_examples=12, deadline=None, derandomize=True)


def methods(name: str) -> list[dict]:
    """Every way in which a core can run its sequence; "auto" is always one of the others."""
    return [{"method": m} for m in registry.load("core", name).methods if m != "auto"] or [{}]


every_method = pytest.mark.parametrize(
    ("name", "extra"), [(name, extra) for name in rlseq.core_names() for extra in methods(name)]
)


@every_method
@drawn
@given(length=lengths, seed=seeds, rate=rates)
def test_1_sequence_equals_steps(name, extra, length, seed, rate):
    c = case(name, length, seed, rate, **extra)
    assert_close(c.fns.scan(c.params, *c[2:]), c.fns.fold(*c[1:]))


@every_method
@drawn
@given(cut=st.sampled_from([1, 4, 11]), seed=seeds, rate=rates)
def test_2_split_equals_whole(name, extra, cut, seed, rate):
    c = case(name, 12, seed, rate, **extra)
    carry, first = c.fns.scan(c.params, c.carry, c.x[:cut], c.reset[:cut])
    carry, second = c.fns.scan(c.params, carry, c.x[cut:], c.reset[cut:])
    whole = c.fns.scan(c.params, *c[2:])
    assert_close((carry, jnp.concatenate([first, second])), whole)


@every_method
@pytest.mark.parametrize("at", [0, 5])
def test_3_reset_is_a_fresh_start(name, extra, at):
    c = case(name, 9, **extra)
    reset = jnp.zeros_like(c.reset).at[at].set(True)
    _, y = c.fns.scan(c.params, c.carry, c.x, reset)
    none = jnp.zeros_like(reset[at:])
    _, fresh = c.fns.scan(c.params, c.fns.init_carry(BATCH), c.x[at:], none)
    assert_close(y[at:], fresh)


@every_method
@pytest.mark.parametrize("at", [0, 5])
def test_3_nothing_before_a_reset_has_a_gradient_after_it(name, extra, at):
    c = case(name, 9, **extra)
    reset = jnp.zeros_like(c.reset).at[at].set(True)

    def after(carry, x):
        return c.fns.scan(c.params, carry, x, reset)[1][at:].sum()

    by_carry, by_x = jax.grad(after, argnums=(0, 1))(c.carry, c.x)
    for leaf in jax.tree.leaves((by_carry, by_x[:at])):
        assert (np.asarray(leaf) == 0).all()
    assert (np.asarray(by_x[at:]) != 0).any()


@every_method
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0, 4])
def test_4_a_broken_carry_does_not_pass_a_reset(name, extra, bad, at):
    c = case(name, 8, **extra)
    carry = jax.tree.map(lambda leaf: jnp.full_like(leaf, bad), c.carry)
    reset = jnp.zeros_like(c.reset).at[at].set(True)
    _, y = c.fns.scan(c.params, carry, c.x, reset)
    _, clean = c.fns.scan(c.params, c.carry, c.x, reset)
    assert_close(y[at:], clean[at:])


@cores
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_4_a_broken_input_does_not_pass_a_reset(name, bad):
    extra = {"method": "sequential"} if "method" in core_options(name) else {}
    c = case(name, 8, **extra)
    reset = jnp.zeros_like(c.reset).at[4].set(True)
    broken = c.x.at[2].set(bad)
    clean = c.fns.scan(c.params, c.carry, c.x, reset)
    for run in (c.fns.scan, c.fns.fold):
        carry, y = run(c.params, c.carry, broken, reset)
        assert_close((carry, y[4:]), (clean[0], clean[1][4:]))


@cores
def test_5_the_carry_keeps_its_form(name):
    c = case(name, 3)

    def form(carry):
        return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), carry)

    fresh = form(c.fns.init_carry(BATCH))
    assert form(c.fns.scan(c.params, *c[2:])[0]) == fresh
    assert form(c.fns.step(c.params, c.carry, c.x[0], c.reset[0])[0]) == fresh


@every_method
def test_6_rows_do_not_mix(name, extra):
    c = case(name, 7, **extra)
    together = c.fns.scan(c.params, *c[2:])
    for row in range(BATCH):
        pick = slice(row, row + 1)
        carry = jax.tree.map(lambda leaf, pick=pick: leaf[pick], c.carry)
        alone = c.fns.scan(c.params, carry, c.x[:, pick], c.reset[:, pick])
        expected = jax.tree.map(lambda leaf, pick=pick: leaf[pick], together[0])
        assert_close(alone, (expected, together[1][:, pick]))


@cores
def test_8_vmap_over_parameters_is_a_loop(name):
    c = case(name, 6)
    params = jax.jit(jax.vmap(c.fns.init))(jax.random.split(jax.random.key(1), 3))
    many = jax.jit(jax.vmap(c.fns.scan, in_axes=(0, None, None, None)))
    carries, ys = many(params, *c[2:])
    for i in range(3):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], params)
        expected = jax.tree.map(lambda leaf, i=i: leaf[i], (carries, ys))
        assert_close(c.fns.scan(one, *c[2:]), expected)


@cores
def test_9_one_compilation_a_shape(name):
    c = case(name, 6)
    fns = rlseq.functional(name, WIDTH, FEATURES)
    scan, step = jax.jit(fns.scan), jax.jit(fns.step)
    params, carry = jax.jit(fns.init)(jax.random.key(0)), fns.init_carry(BATCH)
    for _ in range(2):
        carry, _ = scan(params, carry, c.x, c.reset)
        carry, _ = step(params, carry, c.x[0], c.reset[0])
    assert scan._cache_size() == 1
    assert step._cache_size() == 1


@every_method
@drawn
@given(seed=seeds, rate=rates)
def test_10_a_slow_twin_agrees(name, extra, seed, rate):
    c = case(name, 12, seed, rate, **extra)
    core = rlseq.make_core(name, FEATURES, **options(name, **extra))
    twin = twin_of(name)(core, c.params["params"], c.carry, np.asarray(c.x), np.asarray(c.reset))
    np.testing.assert_allclose(c.fns.scan(c.params, *c[2:])[1], twin, rtol=1e-4, atol=1e-5)


@every_method
def test_11_causal(name, extra):
    c = case(name, 9, **extra)
    _, y = c.fns.scan(c.params, *c[2:])
    moved = c.x.at[5:].add(100.0)
    _, other = c.fns.scan(c.params, c.carry, moved, c.reset)
    assert_close(y[:5], other[:5])


@lru_cache
def _gradients(run):
    def value(params, carry, x, reset, mix):
        carry, y = run(params, carry, x, reset)
        ends = sum(jnp.real(leaf).sum() for leaf in jax.tree.leaves(carry))
        return (y * mix).sum() + 0.3 * ends

    return jax.jit(jax.grad(value, argnums=(0, 1, 2)))


@every_method
@drawn
@given(seed=seeds, rate=rates)
def test_12_gradients_are_finite_and_equal_those_of_the_steps(name, extra, seed, rate):
    c = case(name, 7, seed, rate, **extra)
    mix = jax.random.normal(jax.random.key(9), (7, BATCH, FEATURES))

    scanned = _gradients(c.fns.scan)(*c[1:], mix)
    stepped = _gradients(c.fns.fold)(*c[1:], mix)
    for leaf in jax.tree.leaves(scanned):
        assert np.isfinite(np.asarray(leaf)).all()
    assert_close(scanned, stepped, rtol=1e-4, atol=1e-4)


@every_method
def test_13_long_sequences_in_float32_stay_near_float64(name, extra):
    length = 4096
    with jax.enable_x64(True):
        c = case(name, length, reset_rate=0.0005, **extra)
        exact = case(name, 1, dtype="float64", **extra).fns
        double = jax.tree.map(_double, (c.params, c.carry, c.x))
        _, y = jax.jit(c.fns.scan)(c.params, *c[2:])
        _, expected = jax.jit(exact.scan)(*double, c.reset)
    assert y.dtype == np.float32
    assert expected.dtype == np.float64
    scale = np.abs(expected).max()
    assert np.abs(np.asarray(y) - np.asarray(expected)).max() < 2e-4 * scale


def _double(leaf):
    return leaf.astype(jnp.complex128 if jnp.iscomplexobj(leaf) else jnp.float64)


@every_method
def test_extreme_inputs_stay_finite(name, extra):
    c = case(name, 6, **extra)

    def loss(params, x):
        return c.fns.scan(params, c.carry, x, c.reset)[1].sum()

    value, gradient = jax.value_and_grad(loss)(c.params, c.x * 1e4)
    for leaf in jax.tree.leaves((value, gradient)):
        assert np.isfinite(np.asarray(leaf)).all()


@every_method
def test_an_empty_sequence_changes_nothing(name, extra):
    c = case(name, 4, **extra)
    carry, y = c.fns.scan(c.params, c.carry, c.x[:0], c.reset[:0])
    assert y.shape == (0, BATCH, FEATURES)
    assert_close(carry, c.carry, rtol=0, atol=0)


@cores
@pytest.mark.parametrize("width", [FEATURES, 1])  # WIDTH is what the other laws have
def test_any_input_width(name, width):
    fns = rlseq.functional(name, width, FEATURES, layers=2)
    x, reset = jnp.ones((1, 2, width)), jnp.zeros((1, 2), bool)

    @jax.jit
    def both(key):
        params, start = fns.init(key), fns.init_carry(2)
        return fns.scan(params, start, x, reset)[1], fns.step(params, start, x[0], reset[0])[1]

    y, stepped = both(jax.random.key(0))
    assert y.shape == (1, 2, FEATURES)
    assert_close(y[0], stepped)
