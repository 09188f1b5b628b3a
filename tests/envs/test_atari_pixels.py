"""Frames shrunk in JAX against OpenCV and Pillow, on frames of games and on noise."""

import cv2
import jax
import numpy as np
import pytest
from PIL import Image

from rlseq.envs import make_env
from rlseq.envs.atari.emulator import open_games
from rlseq.envs.atari.pixels import shrink
from rlseq.envs.atari.presets import PRESETS


@pytest.fixture(scope="module")
def frames():
    """uint8 [48, 210, 160, 3]: games and noise."""
    native = PRESETS["custom"]._replace(resize="area")
    taken = [np.random.default_rng(0).integers(0, 256, (16, 210, 160, 3), np.uint8)]
    for game in ("ms_pacman", "seaquest"):
        env = open_games(game, 1, native, 1)
        env.reset(seed=1)
        taken.append(np.stack([env.step(np.array([t % 5]))[0][0, 0] for t in range(16)]))
    return np.concatenate(taken)


def by_opencv(frames, size):
    return np.stack([cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) for f in frames])


@pytest.mark.parametrize("size", [64, 96, 160])
def test_area_is_opencvs_to_the_bit(frames, size):
    ours = shrink(frames[:, None], size, "area")[:, 0]
    np.testing.assert_array_equal(ours, by_opencv(frames, size))


def test_area_leaves_halves_open(frames):
    ours = np.asarray(shrink(frames[:, None], 84, "area"))[:, 0].astype(int)
    apart = np.abs(ours - by_opencv(frames, 84))
    assert apart.max() <= 1 and apart.mean() < 1e-3


@pytest.mark.parametrize("size", [64, 84, 160])
def test_triangle_is_pillows_to_the_bit(frames, size):
    ours = shrink(frames[:, None], size, "triangle")[:, 0]
    images = (Image.fromarray(f).resize((size, size), Image.Resampling.BILINEAR) for f in frames)
    np.testing.assert_array_equal(ours, np.stack([np.asarray(p) for p in images]))


def test_a_game_looks_the_same_whoever_shrinks_it():
    runs = []
    for resize in ("emulator", "area"):
        env = make_env("atari:MsPacman", 2, resize=resize)

        def play(key, env=env):
            def body(state, t):
                action = jax.numpy.full(2, t % 5)
                return env.step(state, action, key)

            state, first = env.reset(key)
            return first, jax.lax.scan(body, state, np.arange(60))[1]

        runs.append(jax.jit(play)(jax.random.key(0)))
    jax.tree.map(np.testing.assert_array_equal, *runs)
