"""The delta rule against a NumPy loop, against autodiff of a plain scan, by hand."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlseq.errors import InputError
from rlseq.scans.delta import METHODS, delta_scan, delta_step, unit_lower_inverse
from tests.draws import Draws

# "auto" is always one of the others, and the first test alone runs it.
methods = pytest.mark.parametrize("method", METHODS[1:])
drawn = settings(max_examples=10, deadline=None, derandomize=True)


def inputs(length, seed=0, reset_rate=0.1, batch=3, heads=2, size=4, width=5):
    draws = Draws(seed)
    q, k = (draws.normal(length, batch, heads, size) for _ in range(2))
    k = k / np.linalg.norm(k, axis=-1, keepdims=True)
    v = draws.normal(length, batch, heads, width)
    beta = 2 / (1 + np.exp(2 * draws.normal(*v.shape[:3])))
    log_decay = draws.log_decay(*v.shape[:3])
    carry = draws.normal(batch, heads, size, width)
    return q, k, v, beta, log_decay, carry, draws.happens(reset_rate, *v.shape[:2])


def loop(q, k, v, beta, log_decay, carry, reset):
    """The recurrence a row and a head at a time, in double precision."""
    q, k, v, beta, log_decay, s = (
        np.array(x, np.float64) for x in (q, k, v, beta, log_decay, carry)
    )
    y = np.empty(v.shape)
    for t, b, h in np.ndindex(v.shape[:3]):
        before = np.exp(log_decay[t, b, h]) * (0 if reset[t, b] else 1) * s[b, h]
        erase = np.eye(k.shape[-1]) - beta[t, b, h] * np.outer(k[t, b, h], k[t, b, h])
        s[b, h] = erase @ before + beta[t, b, h] * np.outer(k[t, b, h], v[t, b, h])
        y[t, b, h] = s[b, h].T @ q[t, b, h]
    return s, y


def plain(*args):
    """The same as one lax.scan that autodiff sees through."""
    *args, carry, reset = args
    return jax.lax.scan(lambda s, at: delta_step(*at[:5], s, at[5]), carry, (*args, reset))


@lru_cache
def jitted(method):
    return jax.jit(lambda *args: delta_scan(*args, method=method))


@pytest.mark.parametrize("method", METHODS)
@drawn
@given(
    length=st.sampled_from([1, 3, 32, 70]),
    seed=st.integers(0, 999),
    rate=st.sampled_from([0.0, 0.1, 1.0]),
)
def test_equals_the_loop(method, length, seed, rate):
    args = inputs(length, seed, rate)
    for mine, other in zip(jitted(method)(*args), loop(*args), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=2e-5)


@methods
def test_gradients_equal_autodiff(method):
    *args, reset = inputs(45)
    mix = Draws(5).normal(*args[2].shape)

    def gradients(run):
        def loss(*args):
            carry, y = run(*args, reset)
            return (mix * y).sum() + carry.sum()

        return jax.jit(jax.grad(loss, argnums=tuple(range(6))))(*args)

    ours = gradients(lambda *a: delta_scan(*a, method=method))
    for mine, other in zip(ours, gradients(plain), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)


@methods
def test_a_key_written_twice_reads_its_second_value(method):
    key = np.broadcast_to(np.float32([1, 0]), (2, 1, 1, 2))
    values = np.float32([[0, 2], [3, -1]])[:, None, None]
    ones, zeros = np.ones((2, 1, 1), "float32"), np.zeros((2, 1, 1), "float32")
    never = np.zeros((2, 1), bool)
    carry = np.zeros((1, 1, 2, 2), "float32")
    _, y = jitted(method)(key, key, values, ones, zeros, carry, never)
    np.testing.assert_allclose(y[:, 0, 0], [[0, 2], [3, -1]], atol=1e-6)


@lru_cache
def gradients_after(method):
    """(carry, late, reset, *args) -> gradients of what is read at late steps, and that."""

    def after(carry, late, reset, *args):
        last, y = delta_scan(*args, carry, reset, method=method)
        seen = jnp.where(late[:, None, None, None], y, 0)
        return (seen**2).sum() + last.sum(), seen

    return jax.jit(jax.grad(after, argnums=(0, *range(3, 8)), has_aux=True))


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
        np.testing.assert_allclose(mine[at:], other[at:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7, 32, 64])
def test_the_inverse_stays_exact_where_all_keys_are_equal(size):
    a = np.tril(np.full((size, size), 1.9), -1)
    ours = unit_lower_inverse(jnp.asarray(a, "float32"))
    np.testing.assert_allclose(ours, np.linalg.inv(np.eye(size) + a), atol=1e-4)


@methods
def test_no_state_but_those_between_chunks_is_kept(method):
    *args, reset = inputs(4096, batch=2, heads=2, size=32, width=32)

    def loss(*args):
        return delta_scan(*args, reset, method=method)[1].sum()

    memory = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3))).lower(*args).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 4096 * args[5].nbytes / 4


@methods
def test_an_empty_sequence_changes_nothing(method):
    args = inputs(0)
    carry, y = jitted(method)(*args)
    assert y.shape == args[2].shape
    np.testing.assert_array_equal(carry, args[5])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"reset": jnp.zeros((5, 3))}, "reset must be bool"),
        ({"carry": jnp.zeros((3, 2, 5, 4))}, "carry must be"),
        ({"k": jnp.zeros((5, 3, 2, 3))}, "q and k must be"),
        ({"beta": jnp.zeros((5, 3, 1))}, "beta and log_decay must be"),
        ({"beta": jnp.zeros((5, 3, 2), "float16")}, "dtypes differ"),
    ],
)
def test_bad_input(change, match):
    names = ("q", "k", "v", "beta", "log_decay", "carry", "reset")
    with pytest.raises(ValueError, match=match):
        delta_scan(**(dict(zip(names, inputs(5), strict=True)) | change))


def test_unknown_method_names_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'chunked'"):
        delta_scan(*inputs(5), method="chunkd")
