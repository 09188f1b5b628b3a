"""Atari games are gymnasium's AtariPreprocessing step by step, and the same wherever they run."""

import os
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest

from rlseq.envs import action_log, make_env
from rlseq.envs.atari import GAMES
from tests.envs.against_gymnasium import FORMATS, STEPS, compare
from tests.envs.frame_hashes import hashed
from tests.script import command

USUAL = ("Breakout", "MsPacman", "UpNDown")  # five lives, bonus lives, a fast scroller


@pytest.mark.parametrize("game", USUAL)
def test_nothing_differs_from_gymnasiums_preprocessing(game):
    size, grey = FORMATS[game == "MsPacman"]
    found = compare(game, size, grey, 300)
    assert found[:4] == (0, 0, 0, 0) and (game != "Breakout" or found.episodes > 0)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "grey"), FORMATS)
@pytest.mark.parametrize("game", GAMES)
def test_nothing_differs_in_any_game(game, size, grey):
    assert compare(game, size, grey, STEPS, seed=1)[:4] == (0, 0, 0, 0)


def test_frames_do_not_depend_on_process_threads_backend_or_neighbours():
    here = hashed(1)
    assert hashed(4, num_threads=1) == here
    assert hashed(3, num_threads=2, backend="callback") == here
    words = command("tests.envs.frame_hashes")
    asked = subprocess.run(words, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == here


def test_two_rollouts_in_one_program_keep_their_order():
    """The second goes on where the first ended, as one of twice the length does."""
    env = make_env("atari:Pong", 2, preset="custom", sticky=0.25)
    actions = np.random.default_rng(0).integers(0, 6, (80, 2)).astype(np.int32)
    key = jax.random.key(0)

    def rollout(state, actions):
        return jax.lax.scan(lambda s, a: env.step(s, a, key), state, actions)

    def cut(actions):
        state, _ = env.reset(key)
        state, one = rollout(state, actions[:40])
        _, two = rollout(state, actions[40:])
        return jax.tree.map(lambda a, b: jax.numpy.concatenate([a, b]), one, two)

    whole = jax.jit(lambda actions: rollout(env.reset(key)[0], actions)[1])(actions)
    jax.tree.map(np.testing.assert_array_equal, whole, jax.jit(cut)(actions))


@pytest.mark.parametrize("backend", ["ffi", "callback"])
def test_games_that_were_replayed_have_an_equal_tail(backend):
    options = {"preset": "custom", "sticky": 0.25, "backend": backend, "action_log": 60}
    actions = np.random.default_rng(0).integers(0, 4, (100, 2)).astype(np.int32)
    key = jax.random.key(1)
    env = make_env("atari:Breakout", 2, **options)
    roll = jax.jit(partial(jax.lax.scan, lambda s, a: env.step(s, a, key)))
    middle, _ = roll(env.reset(key)[0], actions[:60])
    middle = jax.device_get(middle)
    end, tail = jax.device_get(roll(middle, actions[60:]))

    other = make_env("atari:Breakout", 2, **options)
    seen = other.replay(middle.log.seeds, np.moveaxis(middle.log.recent, 1, 0))
    np.testing.assert_array_equal(seen, middle.log.seen)
    again = jax.jit(partial(jax.lax.scan, lambda s, a: other.step(s, a, key)))
    jax.tree.map(np.testing.assert_array_equal, again(middle, actions[60:]), (end, tail))


def test_a_bad_action_neither_hangs_nor_passes():
    """In a process of its own: the emulator waits for ever on an action that it does not know."""
    program = """
import jax.numpy as jnp, jax
from rlseq.envs import make_env
env = make_env("atari:Pong", 2)
state, _ = env.reset(jax.random.key(0))
step = jax.jit(env.step)
for action in (-1, 6, 18, 2**31 - 1):
    state, ts = step(state, jnp.full(2, action), jax.random.key(0))
print(ts.obs.sum() > 0)
"""
    words = [sys.executable, "-P", "-c", program]  # a checkout lacks rlseq.envs
    asked = subprocess.run(words, capture_output=True, text=True, timeout=120, env=os.environ)
    assert asked.stdout.strip() == "True", asked.stderr


def test_a_checksum_tells_every_bit_and_place_apart():
    rng = np.random.default_rng(0)
    for dtype in (np.uint8, np.int16, np.float32, bool):
        obs = rng.integers(0, 2, (4, 7, 3)).astype(dtype)
        obs[1:] = obs[0]
        obs[1, 3, 1] = 1 - obs[1, 3, 1]
        obs[2] = np.roll(obs[0], 1, axis=1)
        nothing = jax.numpy.zeros(4, jax.numpy.uint32)
        seen = np.asarray(action_log.look(nothing, jax.numpy.asarray(obs)))
        assert len(set(seen)) == 3 and seen[0] == seen[3]
    later = action_log.look(action_log.look(nothing, obs), obs)
    assert (np.asarray(later) != seen).all()
