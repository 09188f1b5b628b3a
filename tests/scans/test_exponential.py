"""The mLSTM's memory: against its equations without a maximum, and where those overflow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.scans.exponential import METHODS, Matrix, empty, exponential_scan, exponential_step

LENGTH, BATCH, HEADS, KEYS, VALUES = 40, 2, 2, 3, 5


def drawn(scale=1.0):
    keys = jax.random.split(jax.random.key(0), 6)
    shape = (LENGTH, BATCH, HEADS)
    q, k = (jax.random.normal(key, (*shape, KEYS)) for key in keys[:2])
    v = jax.random.normal(keys[2], (*shape, VALUES))
    forget = jax.nn.log_sigmoid(scale * jax.random.normal(keys[3], shape))
    write = scale * jax.random.normal(keys[4], shape)
    return (q, k, v, forget, write), jax.random.bernoulli(keys[5], 0.1, shape[:2])


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
    _, h = exponential_scan(*inputs, carry, reset, method=method)
    np.testing.assert_allclose(h, plain(*inputs, reset), rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_are_those_of_the_equations(method):
    """A kept past makes log f count in full, also where it gives the maximum."""
    inputs, _ = drawn()
    carry = empty(BATCH, HEADS, KEYS, VALUES, "float32")
    none = jnp.zeros((LENGTH, BATCH), bool)

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
    ours = jax.jit(jax.grad(scanned, every))(*inputs)
    for mine, theirs in zip(ours, jax.jit(jax.grad(direct, every))(*inputs), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-3, atol=1e-3 * np.abs(theirs).max())


@pytest.mark.parametrize("method", METHODS)
def test_steps_equal_the_sequence_where_exponentials_overflow(method):
    inputs, reset = drawn(scale=300.0)
    carry = empty(BATCH, HEADS, KEYS, VALUES, "float32")
    last, h = exponential_scan(*inputs, carry, reset, method=method)
    for t in range(LENGTH):
        carry, read = exponential_step(*(x[t] for x in inputs), carry, reset[t])
        np.testing.assert_allclose(h[t], read, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(last.sums, carry.sums, rtol=1e-4, atol=1e-5)
    assert np.isfinite(h).all()


def test_what_is_read_does_not_depend_on_the_maximum():
    inputs, _ = drawn()
    none = jnp.zeros((LENGTH, BATCH), bool)
    m = jnp.zeros((BATCH, HEADS))
    sums = jax.random.normal(jax.random.key(7), (BATCH, HEADS, KEYS, VALUES + 1))
    _, h = exponential_scan(*inputs, Matrix(m, sums), none)
    _, moved = exponential_scan(*inputs, Matrix(m + 2, sums * jnp.exp(-2.0)), none)
    np.testing.assert_allclose(h, moved, rtol=1e-3, atol=1e-5)
