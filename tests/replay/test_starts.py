"""Where sequences begin: only where their rows are written, and as often as their share says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.replay.ring import allowed_starts
from rlseq.replay.starts import PrioritisedStarts, UniformStarts, draw_proportional
from rlseq.replay.store import Replay

ENVS, LENGTH, WINDOW = 3, 11, 4
KEY = jax.random.key(0)


def filled(sampler, steps=(30, 7, 2)):
    """A replay with so many rows of each environment; the third holds no whole sequence."""
    replay = Replay(LENGTH, sampler)
    row = jnp.zeros((ENVS, 1), jnp.float32)
    state = replay.init(row)
    for t in range(max(steps)):
        state = replay.add(state, row + t, jnp.array([t < n for n in steps]))
    return state


def counts(sampler, state, draws=20_000):
    starts = jax.jit(lambda key: sampler.draw(state.sampler, state.ring, WINDOW, draws, key))(KEY)
    found = np.zeros((ENVS, LENGTH))
    np.add.at(found, (np.asarray(starts.env), np.asarray(starts.index)), 1)
    return found, starts


def test_uniform_starts_are_all_allowed_ones_equally_often():
    state = filled(UniformStarts())
    allowed = np.asarray(allowed_starts(state.ring, WINDOW))
    found, starts = counts(UniformStarts(), state)
    assert allowed.sum() == (LENGTH - WINDOW + 1) + (7 - WINDOW + 1)
    assert (found[~allowed] == 0).all() and (starts.weight == 1).all()
    expected = 20_000 / allowed.sum()
    assert (np.abs(found[allowed] - expected) < 4.5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_prioritised_starts_come_by_their_share_and_weigh_what_corrects_it(alpha):
    sampler = PrioritisedStarts(alpha, 1.0)
    state = filled(sampler)
    allowed = np.asarray(allowed_starts(state.ring, WINDOW))
    priority = np.random.default_rng(0).uniform(0.1, 3, (ENVS, LENGTH)).astype(np.float32)
    env, index = (x.astype(np.int32) for x in np.indices(priority.shape).reshape(2, -1))
    everything = counts(sampler, state)[1]._replace(env=jnp.asarray(env), index=jnp.asarray(index))
    updated = sampler.update(state.sampler, everything, jnp.asarray(priority.reshape(-1)))
    state = state._replace(sampler=updated)
    found, starts = counts(sampler, state)
    share = np.where(allowed, priority.astype(float) ** alpha, 0)
    share /= share.sum()
    assert (found[~allowed] == 0).all()
    expected = 20_000 * share[allowed]
    assert (np.abs(found[allowed] - expected) < 4.5 * np.sqrt(expected)).all()
    # With beta = 1 the weights undo the shares: all rows count alike.
    undone = np.asarray(starts.weight) * share[np.asarray(starts.env), np.asarray(starts.index)]
    np.testing.assert_allclose(undone, undone[0], rtol=1e-4)
    assert starts.weight.max() == 1


def test_new_rows_are_as_urgent_as_the_most_urgent_and_forget_what_stood_there():
    sampler = PrioritisedStarts(1.0, 0.5)
    state = filled(sampler)
    one = counts(sampler, state)[1]._replace(
        env=jnp.array([0], jnp.int32), index=jnp.array([8], jnp.int32)
    )
    known = sampler.update(state.sampler, one, jnp.array([5.0], jnp.float32))
    assert known.rows[0, 8] == 5 and (known.largest == 5).all()
    after = sampler.overwrite(known, jnp.array([8, 2, LENGTH], jnp.int32))
    assert after.rows[0, 8] == 5 and after.rows[1, 2] == 5
    assert (after.rows[2] == known.rows[2]).all()


@pytest.mark.parametrize("size", [1, 255, 256, 700, 100_000])
def test_proportional_draws_find_the_only_place_with_a_share(size):
    for place in {0, size // 2, size - 1}:
        share = jnp.zeros(size, jnp.float32).at[place].set(1e-6)
        found, total = jax.jit(draw_proportional, static_argnums=2)(KEY, share, 33)
        assert (found == place).all() and total == jnp.float32(1e-6)


def test_one_draw_comes_from_each_of_equal_parts():
    found, _ = draw_proportional(KEY, jnp.ones(1000, jnp.float32), 10)
    np.testing.assert_array_equal(np.asarray(found) // 100, np.arange(10))
