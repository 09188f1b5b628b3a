"""Atari against ALE's own stepping: frames, rewards and ends step by step; flags; bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv as Original
from PIL import Image

from rlseq.envs import make_env
from rlseq.envs.atari import GAMES, snake_case
from rlseq.envs.atari.presets import PRESETS
from rlseq.envs.wrappers import EpisodeStatistics, episode_stats
from rlseq.errors import InputError

E = 2
# What each preset is in ALE's own words, written out a second time.
IN_ALES_WORDS = {
    "atari100k": {"img_height": 64, "img_width": 64, "grayscale": False, "stack_num": 1},
    "atari_dqn": {"reward_clipping": True},
    "atari100k_der": {"reward_clipping": True, "stack_num": 1},
    "atari_machado": {
        "noop_max": 0,
        "repeat_action_probability": 0.25,
        "full_action_space": True,
    },
}
IN_ALES_WORDS["atari100k_drama"] = IN_ALES_WORDS["atari100k"] | {"noop_max": 0}
IN_ALES_WORDS["atari100k_grey"] = IN_ALES_WORDS["atari100k"] | {"grayscale": True}
IN_ALES_WORDS["custom"] = IN_ALES_WORDS["atari100k"]
NATIVE = {"img_height": 210, "img_width": 160}  # and Pillow shrinks
IN_ALES_WORDS["atari100k_dreamerv3"] = IN_ALES_WORDS["atari100k"] | NATIVE


def play(venv, key, actions):
    """(first time step, time steps [T, E, ...], states) of given actions [T, E]."""

    def body(state, action):
        state, ts = venv.step(state, action, key)
        return state, (ts, state)

    state, first = venv.reset(key)
    return first, *jax.lax.scan(body, state, actions)[1]


def some_actions(num_steps, num_actions, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, num_actions, (num_steps, E)).astype(np.int32)


def original_frames(obs, space):
    if obs.shape[2] != space.shape[0]:
        images = (Image.fromarray(frame) for frame in obs[:, 0])
        small = (p.resize(space.shape[:2], Image.Resampling.BILINEAR) for p in images)
        obs = np.stack([np.asarray(image) for image in small])[:, None]
    obs = obs if obs.ndim == 5 else obs[..., None]
    return np.concatenate(list(np.moveaxis(obs, 1, 0)), axis=-1).reshape(E, *space.shape)


def check_against_ale(game, preset, num_steps):
    venv = make_env(f"atari:{game}", E, preset=preset)
    words = {"reward_clipping": False} | IN_ALES_WORDS[preset]
    original = Original(snake_case(game), E, use_fire_reset=False, **words)
    key = jax.random.key(7)
    actions = some_actions(num_steps, original.single_action_space.n)
    first, steps, _ = jax.tree.map(np.asarray, jax.jit(functools.partial(play, venv))(key, actions))
    seeds = np.asarray(jax.random.randint(key, (E,), 0, 2**31 - 1, jnp.int32))
    obs, info = original.reset(seed=seeds)
    np.testing.assert_array_equal(first.obs, original_frames(obs, venv.spec.obs_space))
    before = np.zeros(E, bool)
    for t, action in enumerate(actions):
        lives = info["lives"]
        obs, reward, terminated, truncated, info = original.step(action)
        np.testing.assert_array_equal(steps.obs[t], original_frames(obs, venv.spec.obs_space))
        np.testing.assert_array_equal(steps.reward[t], reward.astype(np.float32))
        np.testing.assert_array_equal(steps.terminated[t], terminated)
        np.testing.assert_array_equal(steps.truncated[t], truncated)
        np.testing.assert_array_equal(steps.reset[t], before)
        np.testing.assert_array_equal(steps.valid[t], ~before)
        if PRESETS[preset].life_loss:
            lost = (info["lives"] < lives) & ~before
            np.testing.assert_array_equal(steps.learn_terminal[t], lost)
        before = terminated | truncated
    return steps


@pytest.mark.parametrize(
    ("game", "preset"),
    [
        ("Breakout", "atari100k"),
        ("Pong", "atari100k_drama"),
        ("MsPacman", "atari_dqn"),
        ("Seaquest", "atari_machado"),
    ],
)
def test_every_step_is_ales_own(game, preset):
    steps = check_against_ale(game, preset, 300)
    assert (game != "Breakout") or (steps.terminated.any() and steps.learn_terminal.sum() > 4)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("game", GAMES)
def test_every_game_and_preset_is_ales_own(game, preset):
    check_against_ale(game, preset, 400)


def test_backends_agree_on_actions_out_of_range_too():
    actions = some_actions(250, 4) * 7 - 9
    key = jax.random.key(1)
    runs = []
    for backend in ("ffi", "callback"):
        venv = make_env("atari:Breakout", E, backend=backend)
        runs.append(jax.jit(functools.partial(play, venv))(key, actions)[:2])
    jax.tree.map(np.testing.assert_array_equal, *runs)
    venv = make_env("atari:Breakout", E, num_threads=1)
    clipped = jax.jit(functools.partial(play, venv))(key, np.clip(actions, 0, 3))[:2]
    jax.tree.map(np.testing.assert_array_equal, clipped, runs[0])


def test_a_cut_is_no_end_and_the_ignored_step_is_not_counted():
    inner = make_env("atari:Breakout", E, preset="custom", noop_max=0, max_frames=40)
    assert inner.spec.max_steps == 10
    _, steps, states = play(EpisodeStatistics(inner), jax.random.key(0), some_actions(25, 4))
    truncated = np.asarray(steps.truncated)
    assert truncated.any() and not np.asarray(steps.terminated).any()
    np.testing.assert_array_equal(truncated[:-1], np.asarray(steps.reset)[1:])
    lengths = np.asarray(episode_stats(states).ended_length)
    assert set(lengths[truncated]) == {10}


def test_members_of_a_vmap_play_as_they_would_alone():
    keys = jax.random.split(jax.random.key(2), 2)
    actions = some_actions(120, 6)
    venv = make_env("atari:Pong", E)
    together = jax.jit(jax.vmap(functools.partial(play, venv), in_axes=(0, None)))(keys, actions)
    for i, key in enumerate(keys):
        alone = jax.jit(functools.partial(play, venv))(key, actions)[:2]
        row = jax.tree.map(lambda x, i=i: x[i], together[:2])
        jax.tree.map(np.testing.assert_array_equal, row, alone)


def test_both_names_of_a_game_work():
    spec, snake = (make_env(f"atari:{name}").spec for name in ("KungFuMaster", "kung_fu_master"))
    assert spec.obs_space.shape == snake.obs_space.shape == (64, 64, 3)
    assert (spec.action_space.n, spec.max_steps, spec.can_truncate) == (14, 27_000, True)
    assert len(GAMES) == 26


@pytest.mark.parametrize(
    ("game", "options", "message"),
    [
        ("Breakuot", {}, "Did you mean 'Breakout'"),
        ("Pong", {"preset": "atari100"}, "Did you mean 'atari100k'"),
        ("Pong", {"backend": "fffi"}, "Did you mean 'ffi'"),
        ("Pong", {"num_thread": 1}, "Did you mean 'num_threads'"),
        ("Pong", {"stickyness": 0.25}, "Did you mean 'sticky'"),
        ("Pong", {"sticky": 0.25}, "has sticky=0.0; sticky=0.25 would not be 'atari100k'"),
        ("Pong", {"life_loss": False}, "give preset='custom'"),
        ("Pong", {"resize": "triangle"}, "would not be 'atari100k' any more"),
        ("Pong", {"preset": "atari100k_dreamerv3", "resize": "area"}, "would not be"),
        ("Pong", {"preset": "atari_dqn", "resize": "area"}, "would not be"),
        ("Pong", {"preset": "custom", "resize": "triangel"}, "Did you mean 'triangle'"),
        ("Pong", {"preset": "custom", "size": 161}, "size must be at most 160, got 161"),
        ("Pong", {"preset": "custom", "size": "64"}, "size must be a whole number, got '64'"),
        ("Pong", {"preset": "custom", "size": True}, "size must be a whole number, got True"),
        ("Pong", {"preset": "custom", "max_frames": 0}, "max_frames must be at least 4"),
        ("Pong", {"preset": "custom", "sticky": 2}, "sticky must be at most 1, got 2"),
        ("Pong", {"num_envs": 10**6}, "1,000,000 games of pong take about .* at most"),
        ("Pong", {"num_envs": 0}, "at least 1"),
        ("Pong", {"num_threads": -1}, "at least 0"),
    ],
)
def test_bad_input_is_refused_before_an_emulator_starts(game, options, message):
    with pytest.raises(InputError, match=message):
        make_env(f"atari:{game}", **options)
