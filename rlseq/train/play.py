"""Play whole episodes: the same number in every environment slot."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from rlseq.agents.acting import Actor, act_once, rewarded_of, start_actor
from rlseq.envs.action_log import words_of
from rlseq.errors import InputError
from rlseq.types import Agent, Params, PyTree, TimeStep, VecEnv

# The longest episode unless a longer one is asked for: that of Atari, 108,000 frames.
MAX_STEPS = 27_000
_DTYPES = jnp.float32, jnp.int32, jnp.bool_, jnp.uint32  # of the fields of Episodes
_CHUNK = 64  # environment steps of one call of the device


class Episodes(NamedTuple):
    """Results of every seed, environment slot and episode, NumPy [S, E, K]."""

    returns: np.ndarray  # float32
    lengths: np.ndarray  # int32
    cut: np.ndarray  # bool, stopped at the limit of steps
    trajectories: np.ndarray  # uint32 checksum of observations, actions and rewards


class Steps(NamedTuple):
    """Steps as they were played, [T, S, E, ...], NumPy on the host; those of an episode below K
    are asked for."""

    obs: PyTree  # what the policy saw
    action: PyTree
    reward: Array | np.ndarray  # float32
    terminated: Array | np.ndarray  # bool
    truncated: Array | np.ndarray  # bool, or cut
    episode: Array | np.ndarray  # int32, of its slot; -1: the step was ignored


# What is done with the steps of a chunk.
Sink = Callable[[Steps], None]


class _Play(NamedTuple):
    actor: Actor
    score: Array  # [E] return of the running episode
    length: Array  # [E]
    seen: Array  # [E] uint32, checksum of the running episode
    idle: Array  # [E] bool, the last episode was cut: nothing counts until all environments restart
    count: Array  # [E] episodes that ended
    results: Episodes  # [E, K]


def longest_episode(env: VecEnv) -> int:
    """How many steps an episode may have by default: MAX_STEPS, or what `env` itself allows."""
    return max(MAX_STEPS, env.spec.max_steps or 0)


def evaluate(
    agent: Agent,
    params: Params,
    env: VecEnv,
    keys: Array,
    episodes: int,
    *,
    greedy: bool = False,
    max_steps: int | None = None,
    watch: Callable[[str], None] = lambda progress: None,
    sink: Sink | None = None,
) -> Episodes:
    """The first `episodes` episodes of every environment slot, from fresh environments.

    Never the first to finish over all slots: that would favour short episodes. An episode that
    goes on after `max_steps` is cut, and counts with what it has. Environments cannot be reset
    one by one: the slot then waits until all others are done or cut, and all restart together.

    Args:
        agent: its `act` and `init_carry` are used.
        params: of every seed, leaves [S, ...].
        env: E fresh environments.
        keys: one typed key a seed, [S].
        episodes: K, per slot.
        greedy: the likeliest action instead of a sample.
        max_steps: of one episode; `longest_episode(env)` without it.
        watch: called with the progress after each chunk of steps; may raise to stop.
        sink: is given every step, chunk by chunk; without it none leaves the device.
    """
    limit = longest_episode(env) if max_steps is None else max_steps
    for name, value in (("episodes", episodes), ("max_steps", limit)):
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    play = jax.jit(jax.vmap(partial(_start, agent, env, episodes)))(keys)
    step = partial(_step, agent, env, greedy, limit, sink is not None)
    chunk = jax.vmap(partial(_advance, step), out_axes=(0, 1))
    advance = jax.jit(chunk, donate_argnums=1)
    renew = jax.jit(jax.vmap(partial(_renew, agent, env)), donate_argnums=0)
    while True:
        play, steps = advance(params, play)
        if sink is not None:
            sink(jax.device_get(steps))
        count, idle, length = jax.device_get((play.count, play.idle, play.length))
        going = count < episodes
        if not going.any():
            return Episodes(*jax.device_get(play.results))
        over = int(np.minimum(count, episodes).sum())
        longest = int(np.where(idle, 0, length)[going].max())
        watch(f"{over:,} of {count.size * episodes:,} episodes, {longest:,} steps into the longest")
        if idle[going].all():
            play = renew(play)


def _start(agent: Agent, env: VecEnv, episodes: int, key: Array) -> _Play:
    key, env_key = jax.random.split(key)
    shape = env.num_envs, episodes
    results = _episodes(*(jnp.zeros(shape, dtype) for dtype in _DTYPES))
    return _fresh_play(agent, env, env_key, key, jnp.zeros(env.num_envs, jnp.int32), results)


def _episodes(*arrays: Any) -> Episodes:
    """`Episodes` of arrays on the device; they become NumPy's at the end."""
    return Episodes(*arrays)


def _renew(agent: Agent, env: VecEnv, play: _Play) -> _Play:
    """Fresh environments and memories; the results stay."""
    key, env_key = jax.random.split(play.actor.key)
    return _fresh_play(agent, env, env_key, key, play.count, play.results)


def _fresh_play(
    agent: Agent, env: VecEnv, env_key: Array, key: Array, count: Array, results: Episodes
) -> _Play:
    slots = env.num_envs
    return _Play(
        actor=start_actor(env, agent.init_carry(slots), env_key, key),
        score=jnp.zeros(slots, jnp.float32),
        length=jnp.zeros(slots, jnp.int32),
        seen=jnp.zeros(slots, jnp.uint32),
        idle=jnp.zeros(slots, bool),
        count=count,
        results=results,
    )


def _advance(step: Callable, params: Params, play: _Play) -> tuple[_Play, Steps | None]:
    return lax.scan(partial(step, params), play, length=_CHUNK)


def _step(
    agent: Agent,
    env: VecEnv,
    greedy: bool,
    limit: int,
    keep: bool,
    params: Params,
    play: _Play,
    _: None,
) -> tuple[_Play, Steps | None]:
    old = play.actor.timestep
    act = partial(agent.act, params, greedy=greedy)
    actor, action = act_once(env, act, play.actor, rewarded_of(agent))
    new = actor.timestep
    # An ignored step adds no reward and no length.
    counted = jnp.ones(env.num_envs, bool) if new.valid is None else new.valid
    score = play.score + jnp.where(counted, new.reward, 0)
    length = play.length + counted.astype(jnp.int32)
    happened = (old.obs, action, new.reward)
    seen = jnp.where(counted, checksum(play.seen, happened), play.seen)
    ended = new.terminated | new.truncated
    cut = ~ended & (length >= limit)
    over = (ended | cut) & ~play.idle
    results = _with_ended(play, over, _episodes(score, length, cut, seen))
    number = jnp.where(counted & ~play.idle, play.count, -1)
    steps = _as_steps(old, action, new, cut, number) if keep else None
    return _Play(
        actor=actor,
        score=jnp.where(ended, 0, score),
        length=jnp.where(ended, 0, length),
        seen=jnp.where(ended, 0, seen),
        idle=play.idle | cut,
        count=play.count + over.astype(jnp.int32),
        results=results,
    ), steps


def _with_ended(play: _Play, over: Array, facts: Episodes) -> Episodes:
    """The results with the facts [E] of episodes that are over, bool [E]."""
    # Episodes beyond the K-th match no column, so they are not kept.
    column = jnp.arange(play.results.returns.shape[1], dtype=jnp.int32)[None] == play.count[:, None]
    hit = over[:, None] & column
    return jax.tree.map(lambda x, one: jnp.where(hit, one[:, None], x), play.results, facts)


def _as_steps(old: TimeStep, action: PyTree, new: TimeStep, cut: Array, episode: Array) -> Steps:
    truncated = (new.truncated | cut) & ~new.terminated
    return Steps(old.obs, action, new.reward, new.terminated, truncated, episode)


def checksum(seen: Array, tree: PyTree) -> Array:
    """uint32 [E] of `seen` [E] and leaves [E, ...]; every bit and its position counts."""
    for leaf in jax.tree.leaves(tree):
        words = words_of(leaf)
        positions = jnp.arange(words.shape[1], dtype=jnp.uint32) * jnp.uint32(0x9E3779B9)
        mixed = _mix(_mix(words) + positions[None]).sum(1, dtype=jnp.uint32)
        seen = _mix(seen * jnp.uint32(0x01000193) + mixed + jnp.uint32(1))
    return seen


def _mix(x: Array) -> Array:
    """Each bit of x moves half of the result's: the finaliser of MurmurHash3 (A. Appleby)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
