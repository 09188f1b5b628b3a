"""The ring against a list of everything that was ever added."""

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.replay.ring import allowed_starts, sequences
from rlseq.replay.samplers import SampleCounts, UniformSampler
from rlseq.replay.store import Replay
from rlseq.types import Sequences

ENVS, LENGTH, STEPS, WINDOW = 2, 7, 18, 3
REPLAY = Replay(LENGTH, UniformSampler())


def row(step, envs=ENVS):
    """Distinct in every environment and step."""
    tag = jnp.arange(envs) * 100 + step
    return Sequences(
        obs=jnp.broadcast_to(tag[:, None], (envs, 2)).astype(jnp.uint8),
        action=tag.astype(jnp.int32),
        reward=tag.astype(jnp.float32),
        terminated=tag % 3 == 0,
        reset=tag % 5 == 0,
    )


def filled(steps, seed=0):
    """(replay, [what was added to each environment, in order])."""
    mask = np.random.default_rng(seed).random((steps, ENVS)) < 0.8
    replay = REPLAY.init(row(0))
    push = jax.jit(REPLAY.add)
    for t in range(steps):
        replay = push(replay, row(t), jnp.asarray(mask[t]))
    kept = [[env * 100 + t for t in range(steps) if mask[t, env]] for env in range(ENVS)]
    return replay, kept


def test_rows_are_the_last_ones_added():
    for steps in (0, 3, STEPS):
        replay, kept = filled(steps)
        for env in range(ENVS):
            assert replay.ring.written[env] == len(kept[env])
            for number, tag in list(enumerate(kept[env]))[-LENGTH:]:
                at = (env, number % LENGTH)
                held = jax.tree.map(lambda x, at=at: x[at], replay.ring.rows)
                assert held.action == tag == held.reward and (held.obs == tag).all()
                assert held.terminated == (tag % 3 == 0) and held.reset == (tag % 5 == 0)


def test_sequences_are_runs_of_what_was_added_and_none_is_missing():
    for steps in (2, 5, STEPS):
        replay, kept = filled(steps)
        starts = np.flatnonzero(np.asarray(allowed_starts(replay.ring, WINDOW)))
        expected = {
            tuple(env[-LENGTH:][i : i + WINDOW])
            for env in kept
            for i in range(len(env[-LENGTH:]) - WINDOW + 1)
        }
        got = sequences(replay.ring, jnp.asarray(starts, jnp.int32), WINDOW)
        assert got.action.shape == (WINDOW, len(starts)) and got.obs.shape[2:] == (2,)
        assert {tuple(column) for column in np.asarray(got.action).T} == expected
        assert len(starts) == len(expected)


def test_counts_are_of_the_row_that_stands_there():
    replay, kept = filled(STEPS)
    starts = np.zeros((ENVS, LENGTH), bool)
    starts[0, 3] = starts[1, 5] = True
    sampler, flat = REPLAY.sampler.sample(replay.sampler, "model", starts, 2, jax.random.key(0))
    np.testing.assert_array_equal(flat, [3, LENGTH + 5])
    counts = sampler.model
    assert counts.sum() == 2 and counts[0, 3] == 1 and counts[1, 5] == 1
    replay = replay._replace(sampler=SampleCounts(counts, counts + 1))
    head = len(kept[0]) % LENGTH
    replay = REPLAY.add(replay, row(0), jnp.array([True, False]))
    assert replay.sampler.model[0, head] == 0 and replay.sampler.policy[0, head] == 0
    assert replay.sampler.policy.sum() == ENVS * LENGTH - 1 + 2 - counts[0, head]
