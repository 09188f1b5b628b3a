"""Playing counts the first K episodes of every slot, as a slow twin does, and cuts long ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.errors import InputError
from rlseq.train import play
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
    played = play.evaluate(Counter(), params, FakeEnv(slots), keys, episodes)
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
    played = play.evaluate(Counter(), params, Late(3), keys, 4)
    returns, lengths = twin(3, 4, 1)
    np.testing.assert_array_equal(played.returns[0], returns)
    np.testing.assert_array_equal(played.lengths[0], lengths)


def test_greedy_reaches_the_agent():
    params, keys = {"b": jnp.zeros(1)}, jax.random.split(jax.random.key(0), 1)
    greedy, sampled = (
        play.evaluate(FakeAgent(), params, FakeEnv(8), keys, 4, greedy=g) for g in (True, False)
    )
    np.testing.assert_array_equal(greedy.returns, greedy.lengths.astype(np.float32))
    assert (sampled.returns > sampled.lengths).any()


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"episodes": 1, "max_steps": 0}])
def test_no_episodes_and_no_steps_are_refused(wrong):
    keys = jax.random.split(jax.random.key(0), 1)
    with pytest.raises(InputError, match=r"(episodes|max_steps) must be at least 1, got 0"):
        play.evaluate(FakeAgent(), {}, FakeEnv(1), keys, **wrong)


def cut_twin(slots: int, episodes: int, limit: int):
    """(lengths, cuts) [E, K] by hand: a cut slot waits until all begin anew, from episode 0.

    From fresh environments slot e's k-th episode has e + k + 1 steps, as long as there are any.
    """
    returns_of_slots = [[] for _ in range(slots)]
    while any(len(own) < episodes for own in returns_of_slots):
        for slot, own in enumerate(returns_of_slots):
            steps = slot + 1
            while len(own) < episodes and not (steps > slot + 1 and own[-1][1]):
                own.append((min(steps, limit), steps > limit))
                steps += 1
    return np.moveaxis(np.array(returns_of_slots), -1, 0)


@pytest.mark.parametrize(("slots", "episodes", "limit"), [(1, 5, 1), (3, 4, 2), (4, 6, 5)])
def test_a_long_episode_is_cut_and_all_begin_anew(slots, episodes, limit):
    params, keys = {"scale": jnp.array([1])}, jax.random.split(jax.random.key(0), 1)
    played = play.evaluate(Counter(), params, FakeEnv(slots), keys, episodes, max_steps=limit)
    lengths, cuts = cut_twin(slots, episodes, limit)
    np.testing.assert_array_equal(played.lengths[0], lengths)
    np.testing.assert_array_equal(played.cut[0], cuts)
    np.testing.assert_array_equal(played.returns[0], lengths * (lengths + 3) / 2)


class Endless(FakeEnv):
    """No episode ever ends, nothing is seen, and the reward is 1 more than the action."""

    def step(self, state, action, key):
        state, ts = super().step(state, action, key)
        never, obs = jnp.zeros_like(ts.terminated), jnp.zeros_like(ts.obs)
        return state, ts._replace(obs=obs, terminated=never, truncated=never, reset=never)


def test_episodes_without_an_end_are_cut():
    params, keys = {"scale": jnp.array([0, 0])}, jax.random.split(jax.random.key(0), 2)
    played = play.evaluate(Counter(), params, Endless(2), keys, 3, max_steps=70)
    assert played.cut.all() and (played.lengths == 70).all() and (played.returns == 70).all()


def test_the_longest_episode_is_ataris_or_the_environments_own():
    env = FakeEnv(1)
    assert play.longest_episode(env) == 27_000
    env.spec = env.spec._replace(max_steps=100_000)
    assert play.longest_episode(env) == 100_000


def test_what_the_watch_raises_ends_the_play():
    def stop(progress):
        raise RuntimeError(progress)

    params, keys = {"scale": jnp.array([1])}, jax.random.split(jax.random.key(0), 1)
    with pytest.raises(RuntimeError, match="0 of 6 episodes, 64 steps into the longest"):
        play.evaluate(Counter(), params, Endless(2), keys, 3, watch=stop)


def test_trajectories_are_equal_where_all_was_alike():
    """Greedy play of a game without chance is one trajectory; sampled play is not."""
    params, keys = {"b": jnp.zeros(2)}, jax.random.split(jax.random.key(0), 2)
    greedy, sampled = (
        play.evaluate(FakeAgent(), params, Endless(8), keys, 4, greedy=g, max_steps=40)
        for g in (True, False)
    )
    assert len(np.unique(greedy.trajectories)) == 1
    assert len(np.unique(sampled.trajectories)) == sampled.trajectories.size


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int32, np.float32])
def test_a_checksum_sees_every_place_and_order(dtype):
    """Also of whole floats, whose lower bits are all 0: they had few sums, were they not mixed."""
    seen = jnp.zeros(70, jnp.uint32)
    one = np.eye(70, 71).astype(dtype)
    sums = [play.checksum(seen, {"a": x, "b": x[:, :3]}) for x in (one, one * 0)]
    assert len(np.unique(sums[0])) == 70 and len(np.unique(sums[1])) == 1
    steps = [play.checksum(play.checksum(seen, one), one[::-1]), play.checksum(seen, one)]
    assert len(np.unique(steps)) == 140
