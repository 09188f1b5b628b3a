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
from rlseq.cores import core_options
from rlseq.laws import cores as laws
from rlseq.laws.core_cases import (
    AMPLIFIED,
    FEATURES,
    LENGTH,
    MIDDLE,
    assert_close,
    case,
    drawn_case,
    methods,
    options,
    runs,
)
from tests import kinds

from .twins import twin_of

# Few lengths, so that few programs compile; hypothesis varies the resets inside them.
lengths = st.sampled_from([1, LENGTH])
seeds = st.integers(0, 2**20)
rates = st.sampled_from([0.0, 0.1, 0.3, 1.0])
drawn = settings(max_examples=12, deadline=None, derandomize=True)
in_float64 = cache(laws.in_float64)


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


@every_method
@drawn
@given(length=lengths, seed=seeds, rate=rates)
def test_1_sequence_equals_steps(name, extra, length, seed, rate):
    laws.sequence_equals_steps(case(name, length, seed, rate, **extra))


@every_method
@drawn
@given(cut=st.sampled_from([1, LENGTH - 1]), seed=seeds, rate=rates)
def test_2_split_equals_whole(name, extra, cut, seed, rate):
    laws.split_equals_whole(case(name, LENGTH, seed, rate, **extra), cut)


@every_method
@pytest.mark.parametrize("at", [0, 5, MIDDLE])
def test_3_reset_is_a_fresh_start(name, extra, at):
    laws.reset_is_a_fresh_start(case(name, **extra), at, AMPLIFIED.get(name, 2e-5))


@every_method
@pytest.mark.parametrize("at", [0, 5, MIDDLE])
def test_3_nothing_before_a_reset_has_a_gradient_after_it(name, extra, at):
    laws.no_gradient_passes_a_reset(case(name, **extra), at)


@every_method
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0, MIDDLE])
def test_4_a_broken_carry_does_not_pass_a_reset(name, extra, bad, at):
    laws.broken_carry_stays_before_a_reset(case(name, **extra), at, bad)


@cores
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_4_a_broken_input_does_not_pass_a_reset(name, extra, bad):
    method = {"method": "sequential"} if "method" in core_options(name) else {}
    laws.broken_input_stays_before_a_reset(case(name, **method, **extra), bad)


@cores
def test_5_the_carry_keeps_its_form(name, extra):
    laws.carry_keeps_its_form(case(name, **extra))


@every_method
def test_6_rows_do_not_mix(name, extra):
    laws.rows_do_not_mix(case(name, **extra), case(name, seed=1, **extra))


@cores
def test_8_vmap_over_parameters_is_a_loop(name, extra):
    laws.vmap_over_parameters_is_a_loop(case(name, **extra))


@cores
def test_9_one_compilation_a_shape(name, extra):
    laws.one_compilation_a_shape(case(name, **extra))


@every_method
@drawn
@given(seed=seeds, rate=rates)
def test_10_a_slow_twin_agrees(name, extra, seed, rate):
    c = case(name, LENGTH, seed, rate, **extra)
    core = rlseq.make_core(name, FEATURES, **options(name, **extra))
    twin = twin_of(name)(core, c.params["params"], c.carry, np.asarray(c.x), np.asarray(c.reset))
    laws.twin_agrees(c, twin, AMPLIFIED.get(name, 1e-5))


@every_method
@pytest.mark.parametrize("at", [5, MIDDLE])
def test_11_causal(name, extra, at):
    laws.causal(case(name, **extra), at)


@every_method
@drawn
@given(seed=seeds, rate=rates)
def test_12_gradients_are_finite_and_equal_those_of_the_steps(name, extra, seed, rate):
    c = case(name, LENGTH, seed, rate, **extra)
    laws.gradients_equal_those_of_the_steps(c, AMPLIFIED.get(name, 1e-4))


@every_method
@pytest.mark.parametrize("length", [4096, pytest.param(16384, marks=pytest.mark.slow)])
def test_13_long_sequences_in_float32_stay_near_float64(name, extra, length):
    same = tuple(item for item in extra.items() if item[0] != "method")
    c, expected = in_float64(name, length, same)
    laws.stays_near_float64(c, runs(name, tuple(extra.items())).scan, expected)


@every_method
def test_extreme_inputs_stay_finite(name, extra):
    laws.extreme_inputs_stay_finite(case(name, **extra))


@every_method
def test_an_empty_sequence_changes_nothing(name, extra):
    laws.empty_sequence_changes_nothing(case(name, **extra))


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
