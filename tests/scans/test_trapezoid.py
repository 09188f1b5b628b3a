"""The trapezoidal scan against a NumPy loop over complex states, its steps and their gradients."""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.scans.ssd import METHODS
from rlseq.scans.trapezoid import Memory, Rule, trapezoid_scan, trapezoid_step

LENGTH, BATCH, RANK, HEADS, N, P, TURNING = 40, 3, 3, 2, 5, 4, 2  # rank 1: the laws of mamba3
methods = pytest.mark.parametrize("method", METHODS[1:])


@jax.jit
def inputs(reset_rate=0.1):
    keys = jax.random.split(jax.random.key(0), 12)

    def normal(i, *shape):
        return jax.random.normal(keys[i], shape)

    time, rows = (LENGTH, BATCH), (BATCH, RANK, HEADS)
    rule = Rule(
        -jax.nn.softplus(normal(0, *time, HEADS)),
        normal(1, *time, HEADS, TURNING),
        jax.nn.sigmoid(normal(2, *time, HEADS)),
        jax.nn.sigmoid(normal(3, *time, HEADS)),
    )
    memory = Memory(normal(4, BATCH, HEADS, N, P), normal(5, *rows, N), normal(6, *rows, P))
    q, k = normal(7, LENGTH, *rows, N), normal(8, LENGTH, *rows, N)
    reset = jax.random.bernoulli(keys[9], reset_rate, time)
    return (q, k, normal(10, LENGTH, *rows, P), rule, memory), reset


def loop(q, k, v, rule, memory, reset):
    """Rows n and S + n of a state as one complex number, which turns by -angle at every step."""
    q, k, v, a, turn, before, now, s, last_k, last_v = (
        np.asarray(x, np.float64) for x in (q, k, v, *rule, *memory)
    )
    ys, size = [], TURNING
    for t in range(LENGTH):
        fresh = np.asarray(reset)[t][:, None, None, None]
        s = np.where(fresh, 0, s)
        wrote = np.where(fresh, 0, np.einsum("brhn,brhp->bhnp", last_k, last_v))
        s = s + before[t][..., None, None] * wrote
        pairs = (s[:, :, :size] + 1j * s[:, :, size : 2 * size]) * np.exp(-1j * turn[t])[..., None]
        s = np.concatenate([pairs.real, pairs.imag, s[:, :, 2 * size :]], axis=2)
        last_k, last_v = k[t], v[t]
        wrote = np.einsum("brhn,brhp->bhnp", last_k, last_v)
        s = np.exp(a[t])[..., None, None] * s + now[t][..., None, None] * wrote
        ys.append(np.einsum("brhn,bhnp->brhp", q[t], s))
    return (s, last_k, last_v), np.stack(ys)


def steps(q, k, v, rule, memory, reset):
    def body(memory, at):
        q, k, v, rule, reset = at
        return trapezoid_step(q, k, v, rule, memory, reset)

    return jax.lax.scan(body, memory, (q, k, v, rule, reset))


@lru_cache
def gradients(method):
    """Jitted: gradients by all inputs where `mix` is not 0, the last memory and y."""

    def loss(args, reset, mix):
        scan = steps if method == "steps" else partial(trapezoid_scan, method=method)
        memory, y = scan(*args, reset)
        return jnp.where(mix == 0, 0, mix * y).sum() + memory.state.sum(), (memory, y)

    return jax.jit(jax.grad(loss, has_aux=True))


@methods
def test_equals_the_loop_and_its_gradients_those_of_the_steps(method):
    args, reset = inputs()
    mix = jax.random.normal(jax.random.key(5), args[2].shape)
    ours, (memory, y) = gradients(method)(args, reset, mix)
    theirs, stepped = gradients("steps")(args, reset, mix)
    state, expected = loop(*args, reset)
    for got in ((memory, y), stepped):
        np.testing.assert_allclose(got[1], expected, rtol=1e-4, atol=2e-5)
        for mine, other in zip(got[0], state, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-4, atol=2e-5)
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-4)


@methods
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0, 20])
def test_a_broken_memory_passes_no_reset(method, bad, at):
    (*sound, memory), reset = inputs(0.0)
    reset = reset.at[at].set(True)
    mix = jnp.ones_like(sound[2]).at[:at].set(0)
    broken = jax.tree.map(lambda x: jnp.full_like(x, bad), memory)
    ours, (last, y) = gradients(method)((*sound, broken), reset, mix)
    clean, (clean_last, clean_y) = gradients(method)((*sound, memory), reset, mix)
    for leaf in jax.tree.leaves(ours[4]):
        assert (np.asarray(leaf) == 0).all()
    since = jax.tree.map(lambda x: x[at:], ((*ours[:4], y), (*clean[:4], clean_y)))
    pairs = (since[0], last), (since[1], clean_last)
    for mine, other in zip(*map(jax.tree.leaves, pairs), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)
