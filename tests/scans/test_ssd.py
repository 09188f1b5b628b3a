"""Decaying linear attention against a NumPy loop and against autodiff of a plain scan."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlseq.errors import InputError
from rlseq.scans.ssd import METHODS, ssd_scan, ssd_step
from tests.draws import Draws

# "auto" is always one of the others, and the first test alone runs it.
methods = pytest.mark.parametrize("method", METHODS[1:])
FORMS = [(1, True, False), (1, False, True), (3, False, True), (2, 1, 0)]
forms = pytest.mark.parametrize(("rows", "shared", "exclusive"), FORMS)
drawn = settings(max_examples=10, deadline=None, derandomize=True)


def inputs(length, rows=1, shared=True, seed=0, reset_rate=0.1, batch=3, heads=2, n=4, p=5):
    draws = Draws(seed)
    groups = 1 if shared else heads
    q, k = (draws.normal(length * rows, batch, groups, n) for _ in range(2))
    v = draws.normal(length * rows, batch, heads, p)
    log_decay = draws.log_decay(length, batch, heads)
    carry = draws.normal(batch, heads, n, p)
    return q, k, v, log_decay, carry, draws.happens(reset_rate, length, batch)


def loop(q, k, v, log_decay, carry, reset, exclusive):
    """The recurrence row by row, in double precision."""
    q, k, v, log_decay, s = (np.asarray(x, np.float64) for x in (q, k, v, log_decay, carry))
    rows = v.shape[0] // len(log_decay)
    q, k = (np.broadcast_to(x, (*v.shape[:3], x.shape[-1])) for x in (q, k))
    y = np.empty(v.shape)
    for t, a in enumerate(log_decay):
        s = np.exp(a)[..., None, None] * np.where(np.asarray(reset)[t][:, None, None, None], 0, s)
        here = range(t * rows, (t + 1) * rows)
        before = s
        for i in here:
            s = s + k[i][..., None] * v[i][..., None, :]
        for i in here:
            y[i] = np.einsum("bhn,bhnp->bhp", q[i], before if exclusive else s)
    return s, y


def plain(q, k, v, log_decay, carry, reset, exclusive):
    """The same as one lax.scan that autodiff sees through."""
    q, k, v = (x.reshape(len(reset), -1, *x.shape[1:]) for x in (q, k, v))

    def body(state, at):
        q, k, v, a, r = at
        return ssd_step(q, k, v, a, state, r, exclusive=exclusive)

    carry, y = jax.lax.scan(body, carry, (q, k, v, log_decay, reset))
    return carry, y.reshape(-1, *y.shape[2:])


@lru_cache
def jitted(method, exclusive=False):
    return jax.jit(lambda *args: ssd_scan(*args, method=method, exclusive=bool(exclusive)))


@pytest.mark.parametrize(
    ("method", "rows", "shared", "exclusive"),
    [("auto", *FORMS[0]), *((method, *form) for method in METHODS[1:] for form in FORMS)],
)
@drawn
@given(
    length=st.sampled_from([1, 3, 32, 70]),
    seed=st.integers(0, 999),
    rate=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_equals_the_loop(method, rows, shared, exclusive, length, seed, rate):
    args = inputs(length, rows, shared, seed, rate)
    got = jitted(method, exclusive)(*args)
    for mine, other in zip(got, loop(*args, exclusive), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=2e-5)


@methods
@forms
def test_gradients_equal_autodiff(method, rows, shared, exclusive):
    *args, reset = inputs(45, rows, shared)
    mix = Draws(5).normal(*args[2].shape)

    def gradients(run):
        def loss(*args):
            carry, y = run(*args, reset)
            return (mix * y).sum() + carry.sum()

        return jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3, 4)))(*args)

    ours = gradients(lambda *a: ssd_scan(*a, method=method, exclusive=bool(exclusive)))
    for mine, other in zip(ours, gradients(lambda *a: plain(*a, exclusive)), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)


@lru_cache
def gradients_after(method):
    """(carry, late, reset, *args) -> gradients of what is read at late steps, and that."""

    def after(carry, late, reset, *args):
        last, y = ssd_scan(*args, carry, reset, method=method)
        seen = jnp.where(late.reshape(-1, *(1,) * (y.ndim - 1)), y, 0)
        return (seen**2).sum() + last.sum(), seen

    return jax.jit(jax.grad(after, argnums=(0, *range(3, 7)), has_aux=True))


@methods
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0, 20, 40])
def test_a_broken_carry_passes_no_reset(method, bad, at):
    *args, carry, reset = inputs(50, reset_rate=0.0)
    steps = np.arange(50)
    rest = steps >= at, reset | (steps == at)[:, None], *args
    run = gradients_after(method)
    broken, clean = jax.device_get([run(c, *rest) for c in (np.full_like(carry, bad), carry)])
    (first, *rows), (_, *clean_rows) = broken[0], clean[0]
    np.testing.assert_array_equal(first, np.zeros_like(first))
    for mine, other in zip((*rows, broken[1]), (*clean_rows, clean[1]), strict=True):
        np.testing.assert_allclose(mine[at:], other[at:], rtol=1e-5, atol=1e-5)


@methods
def test_huge_decays_lose_no_digits_of_small_ones(method):
    args = list(inputs(60, reset_rate=0.0))
    args[3] = np.where(Draws(1).happens(0.1, *args[3].shape), np.float32(-1e7), args[3])
    _, y = jitted(method)(*args)
    np.testing.assert_allclose(y, loop(*args, False)[1], rtol=1e-3, atol=1e-3)


@methods
def test_no_state_but_those_between_chunks_is_kept(method):
    *args, reset = inputs(4096, batch=2, heads=2, n=32, p=32)

    def loss(*args):
        return ssd_scan(*args, reset, method=method)[1].sum()

    memory = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3))).lower(*args).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4096 * args[4].nbytes / 4


@methods
def test_an_empty_sequence_changes_nothing(method):
    args = inputs(0)
    carry, y = jitted(method)(*args)
    assert y.shape == args[2].shape
    np.testing.assert_array_equal(carry, args[4])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"reset": jnp.zeros((5, 3))}, "reset must be bool"),
        ({"carry": jnp.zeros((3, 2, 5, 4))}, "carry must be"),
        ({"v": jnp.zeros((6, 3, 2, 5))}, "v must be"),
        ({"k": jnp.zeros((5, 3, 2, 4))}, "q and k must be"),
        ({"log_decay": jnp.zeros((5, 3, 2), "float16")}, "dtypes differ"),
    ],
)
def test_bad_input(change, match):
    names = ("q", "k", "v", "log_decay", "carry", "reset")
    with pytest.raises(ValueError, match=match):
        ssd_scan(**(dict(zip(names, inputs(5), strict=True)) | change))


def test_unknown_method_names_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'chunked'"):
        ssd_scan(*inputs(5), method="chunkd")
