"""Episodes of the popgym package, and the same ones in ours: same hidden state, same actions."""

import functools
import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import popgym.envs

from rlseq.envs.popgym import DIFFICULTIES, FAMILY

from .popgym_games import GAMES

SKILLS = (0.0, 0.5, 0.9, 1.0)  # how often a player acts well, so that every end is seen


class Episode(NamedTuple):
    """L steps of popgym; an observation is all its parts in one vector."""

    state: Any  # our state for popgym's after its reset
    first: np.ndarray  # [D]
    actions: np.ndarray  # [L, ...]
    obs: np.ndarray  # [L, D]
    reward: np.ndarray  # [L]
    terminated: np.ndarray  # [L]
    truncated: np.ndarray  # [L]
    hidden: np.ndarray  # [L + 1, S], popgym's get_state(), from the reset on


def family_of(name):
    return next(name.removesuffix(level) for level in DIFFICULTIES if name.endswith(level))


def upstream(name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Maze", DeprecationWarning)
        return getattr(popgym.envs, name)()


def vector(parts):
    return np.concatenate([np.ravel(x) for x in (parts if isinstance(parts, tuple) else (parts,))])


def play(name, seed, keys):
    """One episode of popgym; what it draws on the way is what ours draws from these keys [T]."""
    game, env = GAMES[family_of(name)], upstream(name)
    rng, skill = np.random.default_rng(seed), SKILLS[seed % 4]
    first, _ = env.reset(seed=seed)
    state, hidden, rows, actions, ended = game.state(env), [env.get_state()], [], [], False
    if game.draws is not None:
        env.np_random = Scripted(game.draws(keys))
    while not ended:
        actions.append(game.act(env, rng, skill))
        obs, reward, terminated, truncated, _ = env.step(actions[-1])
        ended = terminated or truncated
        rows.append((vector(obs), reward, terminated, truncated))
        hidden.append(env.get_state())
    obs, *rest = (np.stack(column) for column in zip(*rows, strict=True))
    return Episode(
        state, vector(first), np.stack(actions), obs, *rest, np.stack([vector(h) for h in hidden])
    )


class Scripted:
    """In the place of popgym's generator: draws that are given."""

    def __init__(self, draws):
        self.draws = iter(draws)

    def random(self):
        return next(self.draws)

    def normal(self, mean, sigma):
        return sigma * next(self.draws)


@functools.cache
def replayer(env):
    """(states, actions, keys) of many episodes -> first obs, then all of each step, [B, T, ...]."""
    params = env.default_params

    def flat(obs):
        parts = [jnp.ravel(x).astype(jnp.float32) for x in jax.tree.leaves(obs)]
        return jnp.concatenate(parts)

    def step(state, x):
        action, key = x
        obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
        return state, (flat(obs), reward, terminated, env.is_truncated(state, params))

    def run(state, actions, keys):
        first = env.observe(keys[0], state, None, params)
        return flat(first), jax.lax.scan(step, state, (actions, keys))[1]

    return jax.jit(jax.vmap(run, in_axes=(0, 0, None)))


def options(name):
    """A small pool of mazes is enough where the maze is given."""
    return {"num_mazes": 1} if "Labyrinth" in name else {}


@functools.cache
def environment(name):
    return FAMILY.make(name, **options(name))[0]


def padded(actions, length):
    """[L, ...] -> [length, ...]; what follows an end is not compared."""
    after = (0, length - len(actions))
    return np.pad(actions, (after, *[(0, 0)] * (actions.ndim - 1)))


def replay(env, episodes, keys):
    """What `env` of ours shows under these actions, padded to the longest episode."""
    actions = np.stack([padded(e.actions, env.max_steps) for e in episodes])
    states = jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *(e.state for e in episodes))
    first, steps = replayer(env)(states, jnp.asarray(actions, jnp.int32), keys)
    return np.asarray(first), [np.asarray(x) for x in steps]


@functools.cache
def episodes_of(name, num_episodes):
    keys = jax.random.split(jax.random.key(0), environment(name).max_steps)
    return [play(name, seed, keys) for seed in range(num_episodes)], keys


def compare_episodes(name, num_episodes):
    """Every observation, reward and end of these episodes is that of popgym."""
    episodes, keys = episodes_of(name, num_episodes)
    first, steps = replay(environment(name), episodes, keys)
    for i, theirs in enumerate(episodes):
        obs, reward, terminated, truncated = (x[i, : len(theirs.reward)] for x in steps)
        np.testing.assert_array_equal(first[i], theirs.first)
        np.testing.assert_array_equal(obs, theirs.obs)
        np.testing.assert_allclose(reward, theirs.reward, rtol=1e-6)
        np.testing.assert_array_equal(terminated, theirs.terminated)
        # Of an episode that is both won and out of time, we say that it terminated.
        np.testing.assert_array_equal(
            truncated & ~terminated, theirs.truncated & ~theirs.terminated
        )
    return episodes
