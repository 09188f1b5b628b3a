"""Evaluation counts the first K episodes of every slot, as a slow twin does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.errors import InputError
from rlseq.train import evaluate
from rlseq.types import Reference
from tests.train.fake_agent import FakeAgent
from tests.train.fake_env import FakeEnv


class Counter(FakeAgent):
    """The action is the number of steps since the reset, as its carry has it."""

    def act(self, params, carry, obs, reset, key, *, greedy=False):
        carry = jnp.where(reset[:, None], 0, carry) + 1
        return carry, carry[:, 0].astype(jnp.int32) * params["scale"]


def twin(slots: int, episodes: int, scale: int):
    """Returns and lengths [E, K] by hand: slot e's k-th episode has e + k + 1 steps."""
    lengths = np.array([[e + k + 1 for k in range(episodes)] for e in range(slots)])
    returns = [[sum(scale * (t + 1) + 1 for t in range(n)) for n in row] for row in lengths]
    return np.array(returns, np.float32), lengths


@pytest.mark.parametrize(("slots", "episodes"), [(1, 1), (3, 2), (5, 14)])
def test_equals_its_slow_twin(slots, episodes):
    params = {"scale": jnp.array([1, 3])}
    keys = jax.random.split(jax.random.key(0), 2)
    played = evaluate.evaluate(Counter(), params, FakeEnv(slots), keys, episodes)
    for seed, scale in enumerate((1, 3)):
        returns, lengths = twin(slots, episodes, scale)
        np.testing.assert_array_equal(played.returns[seed], returns)
        np.testing.assert_array_equal(played.lengths[seed], lengths)


class Late(FakeEnv):
    """A game that ended starts anew one step later, whose action is ignored and reward false."""

    def reset(self, key):
        state, ts = super().reset(key)
        return (state, ts.terminated), ts._replace(valid=ts.reset, learn_terminal=ts.terminated)

    def step(self, state, action, key):
        (step, episode), over = state
        (next_step, next_episode), ts = super().step(state[0], action, key)
        kept = (jnp.where(over, step, next_step), jnp.where(over, episode, next_episode))
        ended = (ts.terminated | ts.truncated) & ~over
        ts = ts._replace(
            obs=jnp.where(over[:, None], 0, ts.obs),
            reward=jnp.where(over, 1e6, ts.reward),
            terminated=ts.terminated & ~over,
            truncated=ts.truncated & ~over,
            reset=over,
            valid=~over,
            learn_terminal=~over,
        )
        return (kept, ended), ts


def test_ignored_steps_and_lost_lives_count_for_nothing():
    params, keys = {"scale": jnp.array([1])}, jax.random.split(jax.random.key(0), 1)
    played = evaluate.evaluate(Counter(), params, Late(3), keys, 4)
    returns, lengths = twin(3, 4, 1)
    np.testing.assert_array_equal(played.returns[0], returns)
    np.testing.assert_array_equal(played.lengths[0], lengths)


def test_greedy_reaches_the_agent():
    params, keys = {"b": jnp.zeros(1)}, jax.random.split(jax.random.key(0), 1)
    greedy, sampled = (
        evaluate.evaluate(FakeAgent(), params, FakeEnv(8), keys, 4, greedy=g) for g in (True, False)
    )
    np.testing.assert_array_equal(greedy.returns, greedy.lengths.astype(np.float32))
    assert (sampled.returns > sampled.lengths).any()


def test_the_summary_reads_as_documented():
    played = evaluate.Episodes(np.array([[[1.0, 0.0]]]), np.ones((1, 1, 2), int))
    assert evaluate.summary(played) == "mean return 0.5 ± 0.5 over 2 episodes"


def test_a_score_is_placed_between_random_play_and_a_human():
    played = evaluate.Episodes(np.array([[[1.0, 3.0]]]), np.ones((1, 1, 2), int))
    assert evaluate.summary(played, Reference(-1.0, 5.0)) == (
        "human-normalised 0.5 (random play -1, human 5)\nmean return 2 ± 1 over 2 episodes"
    )


def test_no_episodes_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        evaluate.evaluate(FakeAgent(), {}, FakeEnv(1), jax.random.split(jax.random.key(0), 1), 0)
