"""The ring against a list of everything that was ever added."""

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.types import Sequences
from rlseq.world_models.replay import add, allowed_starts, count, init_replay, windows

LANES, LENGTH, STEPS, WINDOW = 2, 7, 18, 3


def row(step, lanes=LANES):
    """Distinct in every lane and step."""
    tag = jnp.arange(lanes) * 100 + step
    return Sequences(
        obs=jnp.broadcast_to(tag[:, None], (lanes, 2)).astype(jnp.uint8),
        action=tag.astype(jnp.int32),
        reward=tag.astype(jnp.float32),
        terminated=tag % 3 == 0,
        is_first=tag % 5 == 0,
    )


def filled(steps, seed=0):
    """(replay, [what each lane was given and kept, in order])."""
    valid = np.random.default_rng(seed).random((steps, LANES)) < 0.8
    replay = init_replay(row(0), LENGTH)
    push = jax.jit(add)
    for t in range(steps):
        replay = push(replay, row(t), jnp.asarray(valid[t]))
    kept = [[lane * 100 + t for t in range(steps) if valid[t, lane]] for lane in range(LANES)]
    return replay, kept


def test_rows_are_the_last_ones_given():
    for steps in (0, 3, STEPS):
        replay, kept = filled(steps)
        for lane in range(LANES):
            assert replay.ring.written[lane] == len(kept[lane])
            for number, tag in list(enumerate(kept[lane]))[-LENGTH:]:
                at = (lane, number % LENGTH)
                held = jax.tree.map(lambda x, at=at: x[at], replay.ring.rows)
                assert held.action == tag == held.reward and (held.obs == tag).all()
                assert held.terminated == (tag % 3 == 0) and held.is_first == (tag % 5 == 0)


def test_windows_are_runs_of_what_was_given_and_none_is_missing():
    for steps in (2, 5, STEPS):
        replay, kept = filled(steps)
        starts = np.flatnonzero(np.asarray(allowed_starts(replay, WINDOW)))
        expected = {
            tuple(lane[-LENGTH:][i : i + WINDOW])
            for lane in kept
            for i in range(len(lane[-LENGTH:]) - WINDOW + 1)
        }
        got = windows(replay, jnp.asarray(starts, jnp.int32), WINDOW)
        assert got.action.shape == (WINDOW, len(starts)) and got.obs.shape[2:] == (2,)
        assert {tuple(column) for column in np.asarray(got.action).T} == expected
        assert len(starts) == len(expected)


def test_counts_are_of_the_row_that_stands_there():
    replay, kept = filled(STEPS)
    starts = jnp.array([3, LENGTH + 5], jnp.int32)
    drawn = count(replay.model_draws, starts)
    assert drawn.sum() == 2 and drawn[0, 3] == 1 and drawn[1, 5] == 1
    replay = replay._replace(model_draws=drawn, policy_draws=drawn + 1)
    head = len(kept[0]) % LENGTH
    replay = add(replay, row(0), jnp.array([True, False]))
    assert replay.model_draws[0, head] == 0 and replay.policy_draws[0, head] == 0
    assert replay.policy_draws.sum() == LANES * LENGTH - 1 + 2 - drawn[0, head]
