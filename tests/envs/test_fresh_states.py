"""Auto-reset with few fresh states at a time: the same episodes, each from a state of its own."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.envs import make_env

E = 7


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def with_size(env_id, size, **options):
    venv = make_env(env_id, E, **options)
    venv.fresh_at_once = size
    return venv


@functools.cache
def mines(roll, size):
    return roll(with_size("popgym:MineSweeperEasy", size), 60)


@pytest.mark.parametrize("size", [1, 2, 6])
def test_any_number_at_a_time_gives_the_same_episodes(size, roll):
    """Bit for bit those of a full restart, where each copy is reset with a key of its own."""
    full, few = (mines(roll, n) for n in (E, size))
    assert len(np.unique(full.steps.reset.sum(axis=1))) > 3
    same(few.steps, full.steps)
    same(few.states, full.states)


def test_all_at_once_and_none_at_all(roll):
    """RepeatFirst ends everywhere in the same step, and in between nowhere."""
    full, few = (roll(with_size("popgym:RepeatFirstEasy", n), 120) for n in (E, 2))
    assert set(full.steps.reset.sum(axis=1)) == {0, E}
    same(few.states, full.states)


def test_every_episode_has_a_fresh_state_of_its_own(roll):
    rollout = roll(with_size("popgym:RepeatFirstEasy", 1), 300)
    decks = rollout.states.cards[rollout.steps.reset]
    assert len(decks) == 5 * E
    assert len(np.unique(decks, axis=0)) == len(decks)
    # and the deck stays while the episode runs
    going = ~rollout.steps.reset[1:]
    same(rollout.states.cards[1:][going], rollout.states.cards[:-1][going])


def test_fresh_states_are_computed_for_as_many_copies_as_end(roll):
    """Counted on the way: a full block of `size` for every block that has an ended copy in it."""
    size, seen = 2, []
    venv = with_size("popgym:MineSweeperEasy", size)
    reset_env = venv.env.reset_env

    def counted(key, params):
        jax.debug.callback(lambda _: seen.append(1), jax.random.key_data(key))
        return reset_env(key, params)

    venv.env.reset_env = counted
    rollout = roll(venv, 40)
    jax.effects_barrier()
    ended = rollout.steps.reset.sum(axis=1)
    assert len(seen) == E + size * np.ceil(ended / size).sum()


def test_seeds_can_be_vmapped_without_paying_for_resets(roll):
    venv = with_size("popgym:LabyrinthEscapeEasy", 2, max_steps=9)

    def run(key):
        state, _ = venv.reset(key)

        def body(state, key):
            return venv.step(state, jnp.ones(E, jnp.int32), key)

        return jax.lax.scan(body, state, jax.random.split(key, 30))[1]

    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(run))(keys)
    for i, key in enumerate(keys):
        same(jax.tree.map(lambda x, i=i: x[i], together), jax.jit(run)(key))


def test_starts_are_unbiased(roll):
    """The position of the first mine is uniform over the cells, whichever copy starts anew."""
    venv = with_size("popgym:MineSweeperEasy", 2)
    rollout = roll(venv, 2000)
    mines = np.asarray(rollout.states.mines)[rollout.steps.reset].reshape(-1, 16)
    share = mines.mean(axis=0)
    error = np.sqrt(2 / 16 * 14 / 16 / len(mines))
    assert (abs(share - 2 / 16) < 4.5 * error).all()


def test_what_is_dear_to_reset_asks_for_few():
    assert make_env("popgym:LabyrinthExploreHard", 64).fresh_at_once == 1
    assert make_env("popgym:LabyrinthEscapeEasy", 4096, observe="both").fresh_at_once == 41
    assert make_env("popgym:MineSweeperHard", 64, frame_skip=2).fresh_at_once == 22
    assert make_env("popgym:AutoencodeHard", 64).fresh_at_once == 64
