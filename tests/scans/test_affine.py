"""The affine scan against a NumPy loop, against autodiff of a plain scan, and as algebra."""

import itertools
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlseq.errors import InputError
from rlseq.scans.affine import METHODS, affine_scan, compose
from tests.draws import Draws

# "auto" is always one of the others, and the first test alone runs it.
methods = pytest.mark.parametrize("method", METHODS[1:])
DTYPES = ["float32", "complex64"]
dtypes = pytest.mark.parametrize("dtype", DTYPES)
constants = pytest.mark.parametrize("constant", [True, False])
rates = st.sampled_from([0.0, 0.2, 1.0])
drawn = settings(max_examples=15, deadline=None, derandomize=True)


def inputs(length, constant, dtype, seed=0, reset_rate=0.2, batch=3, state=(4,)):
    draws = Draws(seed)
    shape = state if constant else (length, batch, *state)
    decay = draws.normal(*shape, scale=0.6, dtype=dtype)
    drive = draws.normal(length, batch, *state, dtype=dtype)
    carry = draws.normal(batch, *state, dtype=dtype)
    return decay, drive, carry, draws.happens(reset_rate, length, batch)


def loop(decay, drive, carry, reset):
    """The recurrence, a step at a time, in double precision."""
    decay, drive, h, reset = map(np.asarray, (decay, drive, carry, reset))
    h, decay, out = h.astype(np.complex128), np.broadcast_to(decay, drive.shape), []
    for a, b, r in zip(decay, drive, reset, strict=True):
        h = a * np.where(np.expand_dims(r, tuple(range(1, h.ndim))), 0, h) + b
        out.append(h)
    return np.stack(out)


def plain(decay, drive, carry, reset):
    """The same as an ordinary lax.scan that autodiff sees through."""
    decay = jnp.broadcast_to(decay, drive.shape)

    def body(h, x):
        a, b, r = x
        h = a * jnp.where(jnp.expand_dims(r, tuple(range(1, h.ndim))), 0, h) + b
        return h, h

    return jax.lax.scan(body, carry, (decay, drive, reset))


@lru_cache
def jitted(method):
    return jax.jit(lambda *args: affine_scan(*args, method=method))


@pytest.mark.parametrize(
    ("method", "dtype", "constant"),
    [("auto", "float32", True), *itertools.product(METHODS[1:], DTYPES, [True, False])],
)
@drawn
@given(
    length=st.sampled_from([1, 3, 33, 70]),
    seed=st.integers(0, 999),
    rate=st.sampled_from([0.0, 0.2, 1.0]),
)
def test_equals_the_loop(method, dtype, constant, length, seed, rate):
    args = inputs(length, constant, dtype, seed, rate)
    carry, states = jitted(method)(*args)
    assert states.dtype == dtype
    np.testing.assert_allclose(states, loop(*args), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(carry, np.asarray(states)[-1])


@methods
@dtypes
@constants
def test_gradients_equal_autodiff(method, dtype, constant):
    decay, drive, carry, reset = inputs(40, constant, dtype)
    mix = Draws(5).normal(*drive.shape, dtype=dtype)

    def loss(run, decay, drive, carry):
        last, states = run(decay, drive, carry, reset)
        return jnp.real(mix * states).sum() + jnp.real(last).sum()

    def gradients(run):
        grad = jax.grad(lambda *a: loss(run, *a), argnums=(0, 1, 2))
        return jax.jit(grad)(decay, drive, carry)

    ours = gradients(lambda *a: affine_scan(*a, method=method))
    for mine, other in zip(ours, gradients(plain), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)


@methods
@pytest.mark.parametrize("state", [(), (2, 3)])
def test_any_state_shape(method, state):
    args = inputs(9, False, "float32", state=state)
    np.testing.assert_allclose(jitted(method)(*args)[1], loop(*args), rtol=1e-5, atol=1e-5)


@dtypes
@drawn
@given(seed=st.integers(0, 999), zeros=st.tuples(*3 * [st.booleans()]))
def test_law_7_the_operator_is_associative(dtype, seed, zeros):
    draws = Draws(seed)
    a, b, c = (
        (
            np.where(zero, np.zeros(4, dtype), draws.normal(4, dtype=dtype)),
            draws.normal(4, dtype=dtype),
        )
        for zero in zeros
    )
    left, right = compose(compose(a, b), c), compose(a, compose(b, c))
    for x, y in zip(left, right, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)


@methods
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_broken_drive_passes_a_reset(method, bad):
    decay, drive, carry, reset = inputs(40, True, "float32", reset_rate=0.0)
    reset = reset | (np.arange(40) == 20)[:, None]
    broken = np.array(drive)
    broken[3] = bad
    _, states = jitted(method)(decay, broken, carry, reset)
    _, clean = jitted(method)(decay, drive, carry, reset)
    np.testing.assert_allclose(
        np.asarray(states)[20:], np.asarray(clean)[20:], rtol=1e-5, atol=1e-5
    )


def test_the_backward_pass_keeps_the_states_and_no_more():
    args = inputs(256, True, "complex64", batch=8, state=(64,))

    def loss(decay, drive, carry):
        return jnp.abs(affine_scan(decay, drive, carry, args[3], method="sequential")[1]).sum()

    memory = jax.jit(jax.grad(loss)).lower(*args[:3]).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 3.5 * args[1].nbytes


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"reset": jnp.zeros((5, 3))}, "reset must be bool"),
        ({"reset": jnp.zeros((4, 3), bool)}, "reset must be bool"),
        ({"decay": jnp.zeros((3, 4))}, "decay must be"),
        ({"carry": jnp.zeros((2, 4))}, "carry must be"),
        ({"carry": jnp.zeros((3, 4), "complex64")}, "dtypes differ"),
    ],
)
def test_bad_input(change, match):
    args = dict(zip(["decay", "drive", "carry", "reset"], inputs(5, True, "float32"), strict=True))
    with pytest.raises(ValueError, match=match):
        affine_scan(**(args | change))


def test_unknown_method_names_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'sequential'"):
        affine_scan(*inputs(5, True, "float32"), method="sequental")
