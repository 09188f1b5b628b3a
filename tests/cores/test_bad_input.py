"""Input that does not fit: an error with the values while tracing, from every core."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import pytest

import rlseq
from rlseq.cores import core_options
from rlseq.errors import InputError
from rlseq.laws.core_cases import BATCH, FEATURES, WIDTH, options

T = 4
cores = pytest.mark.parametrize("name", rlseq.core_names())
# How x [T, B, D] and reset [T, B] are changed, and what the error says; by a step without T.
ARRAYS = {
    "a rank too low": (lambda x: x[0], lambda r: r, r"x must be \[T, B, D\], got shape \(3, 5\)"),
    "a rank too high": (lambda x: x[None], lambda r: r, r"got shape \(1, 4, 3, 5\)"),
    "integers": (lambda x: x.astype(int), lambda r: r, "x must be float32, got int32"),
    "half": (lambda x: x.astype("bfloat16"), lambda r: r, "x must be float32, got bfloat16"),
    "numbers for reset": (lambda x: x, lambda r: r.astype("float32"), "got float32"),
    "whole numbers for reset": (lambda x: x, lambda r: r.astype(int), "got int32"),
    "resets of other rows": (lambda x: x, lambda r: r[:, 1:], r"bool \(4, 3\), got bool \(4, 2\)"),
    "resets by feature": (lambda x: x, lambda r: r[..., None], r"got bool \(4, 3, 1\)"),
}


@lru_cache
def core(name):
    """The core's functions and the shapes of its parameters."""
    fns = rlseq.functional(name, WIDTH, FEATURES, **options(name))
    return fns, jax.eval_shape(fns.init, jax.random.key(0))


def traced(name, carry, x, reset, form="scan"):
    fns, params = core(name)
    return jax.eval_shape(getattr(fns, form), params, carry, x, reset)


def fitting(name):
    fns, _ = core(name)
    return fns.init_carry(BATCH), jnp.zeros((T, BATCH, WIDTH)), jnp.zeros((T, BATCH), bool)


@cores
@pytest.mark.parametrize("what", ARRAYS)
def test_arrays_of_another_form(name, what):
    change_x, change_reset, message = ARRAYS[what]
    carry, x, reset = fitting(name)
    with pytest.raises(ValueError, match=message):
        traced(name, carry, change_x(x), change_reset(reset))


@cores
def test_a_step_with_a_whole_sequence_and_the_other_way_round(name):
    carry, x, reset = fitting(name)
    with pytest.raises(ValueError, match=r"x must be \[B, D\], got shape \(4, 3, 5\)"):
        traced(name, carry, x, reset, "step")
    with pytest.raises(ValueError, match=r"x must be float32, got int32"):
        traced(name, carry, x[0].astype(int), reset[0], "step")
    with pytest.raises(ValueError, match=r"reset must be bool \(3,\), got float32 \(3,\)"):
        traced(name, carry, x[0], reset[0].astype("float32"), "step")


@cores
@pytest.mark.parametrize("form", ["scan", "step"])
def test_the_carry_of_another_core_batch_or_depth(name, form):
    carry, x, reset = fitting(name)
    x, reset = (x, reset) if form == "scan" else (x[0], reset[0])
    # The attention has a carry like no other's, and its own is no one else's.
    other = rlseq.make_core("gru" if name == "attention" else "attention", FEATURES, layers=2)
    wrong = [other.init_carry(BATCH), carry[:1], (*carry, carry[0])]
    if jax.tree.leaves(carry):  # mlp has none, so none of another batch
        wrong.append(rlseq.make_core(name, FEATURES, layers=2).init_carry(BATCH + 1))
        wrong.append(jax.tree.map(lambda leaf: leaf.astype(jnp.complex64)[..., None], carry))
    for given in wrong:
        with pytest.raises(ValueError, match=r"the carry must be .* got"):
            traced(name, given, x, reset, form)


@cores
def test_sizes_that_are_too_small_or_do_not_divide(name):
    """Heads and blocks of 3 in a layer of 8. Chunks need no such rule: the last is filled up."""
    for option, (kind, _) in core_options(name).items():
        if kind is not int:
            continue
        divides = option not in ("head", "heads", "blocks", "block_size")
        for value in (-1,) if divides else (-1, 3):
            with pytest.raises(InputError, match=str(value)):
                rlseq.make_core(name, **{"features": FEATURES, option: value})
