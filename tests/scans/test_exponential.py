"""The mLSTM's memory: against its equations without a maximum, and where those overflow."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.scans.exponential import METHODS, Matrix, empty, exponential_scan, exponential_step
from tests.draws import Draws

LENGTH, BATCH, HEADS, KEYS, VALUES = 40, 2, 2, 3, 5
one_step = jax.jit(exponential_step)


@lru_cache
def jitted(method):
    return jax.jit(lambda *args: exponential_scan(*args, method=method))


def drawn(scale=1.0):
    draws, shape = Draws(), (LENGTH, BATCH, HEADS)
    q, k = (draws.normal(*shape, KEYS) for _ in range(2))
    v = draws.normal(*shape, VALUES)
    forget = -np.logaddexp(np.float32(0), draws.normal(*shape, scale=scale))
    write = draws.normal(*shape, scale=scale)
    return (q, k, v, forget, write), draws.happens(0.1, *shape[:2])


def plain(q, k, v, forget, write, reset):
    """Equations 19 to 27 of 2405.04517 in float64, from an empty state."""
    q, k, v, forget, write = (np.asarray(x, np.float64) for x in (q, k, v, forget, write))
    c, n, out = np.zeros((BATCH, HEADS, KEYS, VALUES)), np.zeros((BATCH, HEADS, KEYS)), []
    for t in range(LENGTH):
        cleared = np.asarray(reset[t])[:, None, None]
        f, i = np.exp(forget[t])[..., None], np.exp(write[t])[..., None]
        n = f * np.where(cleared, 0, n) + i * k[t]
        c = f[..., None] * np.where(cleared[..., None], 0, c)
        c = c + (i * k[t])[..., None] * v[t][..., None, :]
        read = np.einsum("bhkv,bhk->bhv", c, q[t])
        out.append(read / np.maximum(np.abs((n * q[t]).sum(-1)), 1)[..., None])
    return np.stack(out)


@pytest.mark.parametrize("method", METHODS)
def test_equals_the_equations(method):
    inputs, reset = drawn()
    carry = empty(BATCH, HEADS, KEYS, VALUES, "float32")
    _, h = jitted(method)(*inputs, carry, reset)
    np.testing.assert_allclose(h, plain(*inputs, reset), rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_those_of_the_equations(method):
    """A kept past makes log f count in full, also where it gives the maximum."""
    inputs, _ = drawn()
    carry = empty(BATCH, HEADS, KEYS, VALUES, "float32")
    none = np.zeros((LENGTH, BATCH), bool)

    def scanned(*inputs):
        return (exponential_scan(*inputs, carry, none, method=method)[1] ** 2).sum()

    def direct(q, k, v, forget, write):
        """All pairs of steps at once, equations 24 to 27."""
        total = jnp.cumsum(forget, 0)
        gap = total[:, None] - total[None] + write[None]
        causal = jnp.tril(jnp.ones((LENGTH, LENGTH), bool))[..., None, None]
        weight = jnp.exp(jnp.where(causal, gap, -jnp.inf)) * jnp.einsum("tbhk,sbhk->tsbh", q, k)
        below = jnp.maximum(jnp.abs(weight.sum(1)), 1)[..., None]
        return ((jnp.einsum("tsbh,sbhv->tbhv", weight, v) / below) ** 2).sum()

    every = tuple(range(5))
    ours, others = jax.jit(lambda *a: [jax.grad(f, every)(*a) for f in (scanned, direct)])(*inputs)
    for mine, theirs in zip(ours, others, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-3, atol=1e-3 * np.abs(theirs).max())


@pytest.mark.parametrize("method", METHODS)
def test_steps_equal_the_sequence_where_exponentials_overflow(method):
    inputs, reset = drawn(scale=300.0)
    carry = empty(BATCH, HEADS, KEYS, VALUES, "float32")
    last, h = jitted(method)(*inputs, carry, reset)
    h = np.asarray(h)
    for t in range(LENGTH):
        carry, read = one_step(*(x[t] for x in inputs), carry, reset[t])
        np.testing.assert_allclose(h[t], read, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(last.sums, carry.sums, rtol=1e-4, atol=1e-5)
    assert np.isfinite(h).all()


def test_what_is_read_does_not_depend_on_the_maximum():
    inputs, _ = drawn()
    none = np.zeros((LENGTH, BATCH), bool)
    m = np.zeros((BATCH, HEADS), "float32")
    sums = Draws(7).normal(BATCH, HEADS, KEYS, VALUES + 1)
    _, h = jitted("auto")(*inputs, Matrix(m, sums), none)
    _, moved = jitted("auto")(*inputs, Matrix(m + 2, sums * np.float32(np.exp(-2))), none)
    np.testing.assert_allclose(h, moved, rtol=1e-3, atol=1e-5)
