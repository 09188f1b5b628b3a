"""The laws that every registered core passes; a new one is tested once its line is there.

Compiling is what takes long: nearly all laws run one program of one length, LENGTH.
"""

import gc
from functools import cache, lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlseq
from rlseq import registry
from rlseq.cores import core_options
from tests import kinds
from tests.draws import Draws

from .laws import BATCH, FEATURES, LENGTH, WIDTH, assert_close, case, drawn_case, options, runs
from .twins import twin_of

# Few lengths, so that few programs compile; hypothesis varies the resets inside them.
lengths = st.sampled_from([1, LENGTH])
seeds = st.integers(0, 2**20)
rates = st.sampled_from([0.0, 0.1, 0.3, 1.0])
drawn = settings(max_examples=12, deadline=None, derandomize=True)
# mlstm divides by |n . q|, which passes near 0, so rounding grows a thousandfold: the two sides
# of law 3 differ by 1.5e-13 in float64, and by 1.5e-4 in float32; those of law 12 by 5e-14 and
# 1.5e-4 of the largest entry.
AMPLIFIED = {"mlstm": 3e-4}
MIDDLE = 33  # of a sequence, and behind the first chunk


def methods(name: str) -> list[dict]:
    """Every way in which a core can run its sequence; "auto" is always one of the others."""
    return [{"method": m} for m in registry.load("core", name).methods if m != "auto"] or [{}]


def forms(extras):
    """(name, options) of every core; all stacks are one module, so that few are usually two high.

    One of each kind is; of the others, two layers are slow tests beside those of one.
    """
    for name in rlseq.core_names():
        for extra in extras(name):
            if name in kinds.EACH_KIND:
                yield name, extra
            else:
                yield name, {**extra, "layers": 1}
                yield pytest.param(name, extra, marks=pytest.mark.slow)


cores = pytest.mark.parametrize(("name", "extra"), list(forms(lambda name: [{}])))
every_method = pytest.mark.parametrize(("name", "extra"), list(forms(methods)))


@pytest.fixture(autouse=True)
def one_core_at_a_time(request):
    make_room(request.node.callspec.params["name"])


@lru_cache(maxsize=1)
def make_room(_):
    """Once a core: laws come core by core (conftest.py), whose programs take memory maps."""
    drawn_case.cache_clear()
    runs.cache_clear()
    in_float64.cache_clear()
    gc.collect()


def reset_at(c, at: int) -> np.ndarray:
    """A reset of every row at one step, and no other."""
    return np.broadcast_to(np.arange(LENGTH)[:, None] == at, c.reset.shape)


def folded(fns, params, carry, x, reset):
    """(carry, y) of the steps in a row, by the program that has their gradients as well."""
    mix = np.zeros((LENGTH, BATCH, FEATURES), "float32")
    return fns.fold_gradients(params, carry, x, reset, mix, 0.0)[1]


@every_method
@drawn
@given(length=lengths, seed=seeds, rate=rates)
def test_1_sequence_equals_steps(name, extra, length, seed, rate):
    c = case(name, length, seed, rate, **extra)
    if length == 1:
        carry, y = c.fns.step(c.params, c.carry, c.x[0], c.reset[0])
        steps = carry, np.asarray(y)[None]
    else:
        steps = folded(*c)
    assert_close(c.fns.scan(c.params, *c[2:]), steps)


@every_method
@drawn
@given(cut=st.sampled_from([1, LENGTH - 1]), seed=seeds, rate=rates)
def test_2_split_equals_whole(name, extra, cut, seed, rate):
    c = case(name, LENGTH, seed, rate, **extra)
    carry, first = c.fns.scan(c.params, c.carry, c.x[:cut], c.reset[:cut])
    carry, second = c.fns.scan(c.params, carry, c.x[cut:], c.reset[cut:])
    whole = c.fns.scan(c.params, *c[2:])
    assert_close((carry, np.concatenate([first, second])), whole)


@every_method
@pytest.mark.parametrize("at", [0, 5, MIDDLE])
def test_3_reset_is_a_fresh_start(name, extra, at):
    c = case(name, **extra)
    _, y = c.fns.scan(c.params, c.carry, c.x, reset_at(c, at))
    # The steps before `at` come last in the fresh run, so that both have one length.
    none = np.zeros_like(c.reset)
    _, fresh = c.fns.scan(c.params, c.fns.init_carry(BATCH), np.roll(c.x, -at, axis=0), none)
    y, fresh = np.asarray(y), np.asarray(fresh)
    assert_close(y[at:], fresh[: LENGTH - at], atol=AMPLIFIED.get(name, 2e-5))


@every_method
@pytest.mark.parametrize("at", [0, 5, MIDDLE])
def test_3_nothing_before_a_reset_has_a_gradient_after_it(name, extra, at):
    c = case(name, **extra)
    after = np.zeros((LENGTH, BATCH, FEATURES), "float32")
    after[at:] = 1
    (_, by_carry, by_x), _ = c.fns.scan_gradients(*c[1:4], reset_at(c, at), after, 0.0)
    by_x = np.asarray(by_x)
    for leaf in jax.tree.leaves((by_carry, by_x[:at])):
        assert (np.asarray(leaf) == 0).all()
    assert (by_x[at:] != 0).any()


@every_method
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0, MIDDLE])
def test_4_a_broken_carry_does_not_pass_a_reset(name, extra, bad, at):
    c = case(name, **extra)
    carry = jax.tree.map(lambda leaf: np.full_like(leaf, bad), c.carry)
    _, y = c.fns.scan(c.params, carry, c.x, reset_at(c, at))
    _, clean = c.fns.scan(c.params, c.carry, c.x, reset_at(c, at))
    assert_close(np.asarray(y)[at:], np.asarray(clean)[at:])


@cores
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_4_a_broken_input_does_not_pass_a_reset(name, extra, bad):
    method = {"method": "sequential"} if "method" in core_options(name) else {}
    c = case(name, **method, **extra)
    reset = reset_at(c, 4)
    broken = c.x.copy()
    broken[2] = bad
    clean = c.fns.scan(c.params, c.carry, c.x, reset)
    both = c.fns.scan(c.params, c.carry, broken, reset), folded(*c[:3], broken, reset)
    for carry, y in both:
        assert_close((carry, np.asarray(y)[4:]), (clean[0], np.asarray(clean[1])[4:]))


@cores
def test_5_the_carry_keeps_its_form(name, extra):
    c = case(name, **extra)

    def form(carry):
        return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), carry)

    fresh = form(c.fns.init_carry(BATCH))
    assert form(c.fns.scan(c.params, *c[2:])[0]) == fresh
    assert form(c.fns.step(c.params, c.carry, c.x[0], c.reset[0])[0]) == fresh


@every_method
def test_6_rows_do_not_mix(name, extra):
    c, other = case(name, **extra), case(name, seed=1, **extra)
    together = jax.device_get(c.fns.scan(c.params, *c[2:]))
    for row in range(BATCH):
        # All that the other rows hold is another's: carry, inputs and resets.
        mine = np.arange(BATCH) == row
        carry = jax.tree.map(lambda a, b, m=mine: _rows(m, a, b, 0), c.carry, other.carry)
        x, reset = _rows(mine, c.x, other.x, 1), _rows(mine, c.reset, other.reset, 1)
        alone = jax.device_get(c.fns.scan(c.params, carry, x, reset))
        assert_close(_row(row, *alone), _row(row, *together))


def _row(row, carry, y):
    """One row of a carry and of outputs."""
    return jax.tree.map(lambda leaf: leaf[row], carry), y[:, row]


def _rows(mine, a, b, axis):
    """The rows of a along an axis where mine [B], else those of b."""
    return np.where(mine.reshape((1,) * axis + (-1,) + (1,) * (a.ndim - axis - 1)), a, b)


@cores
def test_8_vmap_over_parameters_is_a_loop(name, extra):
    c = case(name, **extra)
    every = [c.fns.init(key) for key in jax.random.split(jax.random.key(1), 3)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *every)
    many = jax.jit(jax.vmap(c.fns.scan, in_axes=(0, None, None, None)))
    carries, ys = jax.device_get(many(stacked, *c[2:]))
    for i, params in enumerate(every):
        expected = jax.tree.map(lambda leaf, i=i: leaf[i], (carries, ys))
        assert_close(c.fns.scan(params, *c[2:]), expected)


@cores
def test_9_one_compilation_a_shape(name, extra):
    c = case(name, **extra)
    first = c.fns.scan(c.params, *c[2:]), c.fns.step(c.params, c.carry, c.x[0], c.reset[0])
    compiled = c.fns.scan._cache_size(), c.fns.step._cache_size()
    # The carries that come out go in: their types are those of fresh ones.
    c.fns.scan(c.params, first[0][0], c.x + 1, c.reset)
    c.fns.scan(c.params, c.fns.init_carry(BATCH), c.x, ~c.reset)
    c.fns.step(c.params, first[1][0], c.x[1], c.reset[1])
    c.fns.step(c.params, c.fns.init_carry(BATCH), c.x[1], ~c.reset[1])
    assert (c.fns.scan._cache_size(), c.fns.step._cache_size()) == compiled


@every_method
@drawn
@given(seed=seeds, rate=rates)
def test_10_a_slow_twin_agrees(name, extra, seed, rate):
    c = case(name, LENGTH, seed, rate, **extra)
    core = rlseq.make_core(name, FEATURES, **options(name, **extra))
    twin = twin_of(name)(core, c.params["params"], c.carry, np.asarray(c.x), np.asarray(c.reset))
    atol = AMPLIFIED.get(name, 1e-5)
    np.testing.assert_allclose(c.fns.scan(c.params, *c[2:])[1], twin, rtol=1e-4, atol=atol)


@every_method
@pytest.mark.parametrize("at", [5, MIDDLE])
def test_11_causal(name, extra, at):
    c = case(name, **extra)
    _, y = c.fns.scan(c.params, *c[2:])
    later = np.arange(LENGTH)[:, None, None] >= at
    _, other = c.fns.scan(c.params, c.carry, c.x + np.float32(100) * later, c.reset)
    assert_close(np.asarray(y)[:at], np.asarray(other)[:at])


@every_method
@drawn
@given(seed=seeds, rate=rates)
def test_12_gradients_are_finite_and_equal_those_of_the_steps(name, extra, seed, rate):
    c = case(name, LENGTH, seed, rate, **extra)
    mix = Draws(9).normal(LENGTH, BATCH, FEATURES)
    scanned, _ = c.fns.scan_gradients(*c[1:], mix, 0.3)
    stepped, _ = c.fns.fold_gradients(*c[1:], mix, 0.3)
    for one, other in zip(jax.tree.leaves(scanned), jax.tree.leaves(stepped), strict=True):
        assert np.isfinite(np.asarray(one)).all()
        # Sums over 40 steps cancel, so what rounding leaves goes by the size of the whole leaf.
        atol = AMPLIFIED.get(name, 1e-4) * max(1.0, np.abs(np.asarray(other)).max())
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


@every_method
@pytest.mark.parametrize("length", [4096, pytest.param(16384, marks=pytest.mark.slow)])
def test_13_long_sequences_in_float32_stay_near_float64(name, extra, length):
    same = tuple(item for item in extra.items() if item[0] != "method")
    c, expected = in_float64(name, length, same)
    _, y = runs(name, tuple(extra.items())).scan(*c[1:])
    assert y.dtype == np.float32
    assert expected.dtype == np.float64
    scale = np.abs(expected).max()
    assert np.abs(np.asarray(y) - expected).max() < 2e-4 * scale


@cache
def in_float64(name, length, same):
    """A long case, and its outputs in double precision by the first of the core's methods."""
    extra = methods(name)[0] | dict(same)
    c = case(name, length, reset_rate=0.0005, **extra)
    with jax.enable_x64(True):
        exact = rlseq.functional(name, WIDTH, FEATURES, **options(name, dtype="float64", **extra))
        _, y = jax.jit(exact.scan)(*jax.tree.map(_double, c[1:4]), c.reset)
    return c, np.asarray(y)


def _double(leaf):
    return np.asarray(leaf, np.complex128 if np.iscomplexobj(leaf) else np.float64)


@every_method
def test_extreme_inputs_stay_finite(name, extra):
    c = case(name, **extra)
    x, every = c.x * np.float32(1e4), np.ones((LENGTH, BATCH, FEATURES), "float32")
    value = c.fns.scan(c.params, c.carry, x, c.reset)
    gradient, _ = c.fns.scan_gradients(c.params, c.carry, x, c.reset, every, 0.0)
    for leaf in jax.tree.leaves((value, gradient)):
        assert np.isfinite(np.asarray(leaf)).all()


@every_method
def test_an_empty_sequence_changes_nothing(name, extra):
    c = case(name, **extra)
    carry, y = c.fns.scan(c.params, c.carry, c.x[:0], c.reset[:0])
    assert y.shape == (0, BATCH, FEATURES)
    assert_close(carry, c.carry, rtol=0, atol=0)


@pytest.mark.parametrize("name", rlseq.core_names())
def test_any_input_width_gives_one_form(name):
    for width in (1, FEATURES):
        y, stepped = jax.eval_shape(both_ways(name, width), jax.random.key(0))
        assert (y.shape, stepped.shape) == ((1, 1, FEATURES), (1, FEATURES))


@pytest.mark.parametrize("name", kinds.cores())
def test_an_input_of_one_number_steps_as_it_scans(name):
    y, stepped = jax.jit(both_ways(name, 1))(jax.random.key(0))
    assert_close(y[0], stepped)


def both_ways(name, width):
    """key -> what one step gives as a sequence and as a step."""
    fns = rlseq.functional(name, width, FEATURES, layers=1)  # the first is all that sees x
    x, reset = jnp.ones((1, 1, width)), jnp.zeros((1, 1), bool)

    def run(key):
        params, start = fns.init(key), fns.init_carry(1)
        return fns.scan(params, start, x, reset)[1], fns.step(params, start, x[0], reset[0])[1]

    return run
