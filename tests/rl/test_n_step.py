"""n-step targets, rescaled values and projections against slow NumPy and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.rl.n_step import huber, n_step, project, rescale, unscale

GAMMA = 0.9


def slow(reward, terminated, cut, n, gamma):
    """(reward, discount, steps) of the first row of one environment, step by step."""
    total, steps = 0.0, 0
    for k in range(n):
        if cut[k]:  # its successor is not kept: the value here takes the place of what follows
            return total, gamma**steps, steps
        total += gamma**k * reward[k]
        steps += 1
        if terminated[k]:
            return total, 0.0, steps
    return total, gamma**steps, steps


@pytest.mark.parametrize("n", [1, 3, 5])
def test_returns_end_with_episodes_and_before_cuts(n):
    rng = np.random.default_rng(0)
    most, length, batch = 5, 12, 40
    shape = (length + most, batch)
    reward = rng.normal(size=shape).astype(np.float32)
    terminated = rng.random(shape) < 0.12
    cut = (rng.random(shape) < 0.12) & ~terminated
    rows = [jnp.asarray(x) for x in (reward, terminated, cut)]
    run = jax.jit(lambda n: n_step(*rows, n, GAMMA, most))
    got = jax.tree.map(np.asarray, run(jnp.int32(n)))
    seen = set()
    for t in range(length):
        for b in range(batch):
            columns = (x[t:, b] for x in (reward, terminated, cut))
            total, discount, steps = slow(*columns, n, GAMMA)
            np.testing.assert_allclose(got.reward[t, b], total, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(got.discount[t, b], discount, rtol=1e-5)
            assert got.steps[t, b] == steps and got.mask[t, b] == (not cut[t, b])
            seen.add((steps, discount == 0))
    assert {(n, False), (n, True), (0, False)} <= seen


def test_a_row_that_was_cut_is_not_learned_from_and_those_before_end_there():
    reward = jnp.array([[1.0], [2.0], [4.0], [8.0], [16.0]])
    cut = jnp.array([[False], [False], [True], [False], [False]])
    found = n_step(reward, jnp.zeros((5, 1), bool), cut, 3, 0.5, 2 + 1)
    np.testing.assert_array_equal(found.steps[:, 0], [2, 1])
    np.testing.assert_allclose(found.reward[:, 0], [1 + 0.5 * 2, 2])
    np.testing.assert_allclose(found.discount[:, 0], [0.25, 0.5])
    assert found.mask.all()


def test_rescaling_is_undone_and_shrinks():
    x = jnp.array([-1e4, -3.0, 0.0, 0.5, 100.0], jnp.float32)
    np.testing.assert_allclose(unscale(rescale(x)), x, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(rescale(jnp.float32(3.0)), 1 + 3e-3, rtol=1e-6)
    assert rescale(jnp.float32(1e4)) < 110


def test_huber_is_a_parabola_with_straight_arms():
    np.testing.assert_allclose(huber(jnp.array([-3.0, -0.5, 0.0, 1.0])), [2.5, 0.125, 0, 0.5])


def test_projected_mass_keeps_its_sum_and_its_mean_within_the_support():
    rng = np.random.default_rng(1)
    support = np.linspace(-2, 2, 9).astype(np.float32)
    mass = rng.dirichlet(np.ones(9), size=(4, 3)).astype(np.float32)
    inside = rng.uniform(-2, 2, size=mass.shape).astype(np.float32)
    found = np.asarray(project(jnp.asarray(mass), jnp.asarray(inside), 2.0))
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose((found * support).sum(-1), (mass * inside).sum(-1), atol=1e-5)
    beyond = np.asarray(project(jnp.asarray(mass), jnp.full_like(inside, 7.0), 2.0))
    np.testing.assert_allclose(beyond[..., -1], 1, rtol=1e-5)
