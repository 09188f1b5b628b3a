"""Batched wrappers: each is a `rlseq.types.VecEnv` around another one.

All work on the time step that comes out of autoreset and key on its `reset`, so nothing of an
episode leaks into the next one.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments import spaces

from rlseq.envs.batched import Wrapper
from rlseq.envs.spaces import flat_size, flatten
from rlseq.errors import InputError
from rlseq.types import PyTree, TimeStep, VecEnv

LONGEST = 2**31 - 1  # a length that is counted


class PreviousAction(Wrapper):
    """obs becomes (obs, the flattened action that led to it); zeros where an episode starts.

    The second part is float32 [E, flat_size(action_space)]. `final_obs` carries the action that
    led to it. The state is the inner one.
    """

    def __init__(self, inner: VecEnv):
        self.size = flat_size(inner.spec.action_space)
        super().__init__(inner, obs_space=_beside(inner, self.size))

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        state, ts = self.inner.reset(key)
        return state, _append(ts, *2 * [jnp.zeros((self.num_envs, self.size), jnp.float32)])

    def step(self, state: Any, action: PyTree, key: jax.Array) -> tuple[Any, TimeStep]:
        state, ts = self.inner.step(state, action, key)
        led_here = flatten(self.spec.action_space, action)
        return state, _append(ts, jnp.where(ts.reset[:, None], 0, led_here), led_here)


class StartFlag(Wrapper):
    """obs becomes (obs, float32 [E, 1]: 1 on the first observation of an episode, else 0).

    `final_obs` gets 0. The state is the inner one.
    """

    def __init__(self, inner: VecEnv):
        super().__init__(inner, obs_space=_beside(inner, 1))

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        state, ts = self.inner.reset(key)
        return state, self._flag(ts)

    def step(self, state: Any, action: PyTree, key: jax.Array) -> tuple[Any, TimeStep]:
        state, ts = self.inner.step(state, action, key)
        return state, self._flag(ts)

    def _flag(self, ts: TimeStep) -> TimeStep:
        flag = ts.reset[:, None].astype(jnp.float32)
        # After reset(key) there is no transition: final_obs is obs and keeps its flag.
        no_transition = ts.reset & ~(ts.terminated | ts.truncated)
        return _append(ts, flag, jnp.where(no_transition[:, None], flag, 0))


class FlattenObservation(Wrapper):
    """obs and final_obs become float32 [E, flat_size(obs_space)]; the state is the inner one."""

    def __init__(self, inner: VecEnv):
        super().__init__(inner, obs_space=_vector(flat_size(inner.spec.obs_space)))

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        state, ts = self.inner.reset(key)
        return state, self._flatten(ts)

    def step(self, state: Any, action: PyTree, key: jax.Array) -> tuple[Any, TimeStep]:
        state, ts = self.inner.step(state, action, key)
        return state, self._flatten(ts)

    def _flatten(self, ts: TimeStep) -> TimeStep:
        space = self.inner.spec.obs_space
        return ts._replace(obs=flatten(space, ts.obs), final_obs=flatten(space, ts.final_obs))


class StatisticsState(NamedTuple):
    """The inner state, and sums over the running and the last ended episode of each env."""

    inner: Any
    running_return: jax.Array  # [E] float32, rewards of the running episode so far
    running_length: jax.Array  # [E] int32, its steps so far
    ended_return: jax.Array  # [E] float32, of the episode that ended last; 0 before the first
    ended_length: jax.Array  # [E] int32


class EpisodeStats(NamedTuple):
    """Return and length of the episode that just ended: read where terminated | truncated."""

    ended_return: jax.Array  # [E] float32, undiscounted
    ended_length: jax.Array  # [E] int32


class EpisodeStatistics(Wrapper):
    """Counts returns and lengths of episodes in its state; time steps pass unchanged.

    A length beyond the largest int32 stays at that.
    """

    def inside(self, state: StatisticsState) -> Any:
        return state.inner

    def reset(self, key: jax.Array) -> tuple[StatisticsState, TimeStep]:
        inner, ts = self.inner.reset(key)
        nothing = jnp.zeros(self.num_envs, jnp.float32)
        none = jnp.zeros(self.num_envs, jnp.int32)
        return StatisticsState(inner, nothing, none, nothing, none), ts

    def step(
        self, state: StatisticsState, action: PyTree, key: jax.Array
    ) -> tuple[StatisticsState, TimeStep]:
        inner, ts = self.inner.step(state.inner, action, key)
        total = state.running_return + ts.reward
        counted = state.running_length < LONGEST
        if ts.valid is not None:
            counted &= ts.valid
        length = state.running_length + counted.astype(jnp.int32)
        ended = ts.terminated | ts.truncated
        state = StatisticsState(
            inner,
            running_return=jnp.where(ended, 0, total),
            running_length=jnp.where(ended, 0, length),
            ended_return=jnp.where(ended, total, state.ended_return),
            ended_length=jnp.where(ended, length, state.ended_length),
        )
        return state, ts


def with_statistics(env: VecEnv) -> VecEnv:
    """`env` if `EpisodeStatistics` is its outermost wrapper, as make_env puts it, else with it."""
    return env if isinstance(env, EpisodeStatistics) else EpisodeStatistics(env)


def episode_stats(state: Any) -> EpisodeStats:
    """What `EpisodeStatistics` counted, from its state.

    Raises InputError for the state of an environment without it as the outermost wrapper.
    """
    if not isinstance(state, StatisticsState):
        raise InputError("no episode statistics in this state: make the env with statistics=True")
    return EpisodeStats(state.ended_return, state.ended_length)


def _append(ts: TimeStep, to_obs: jax.Array, to_final: jax.Array) -> TimeStep:
    return ts._replace(obs=(ts.obs, to_obs), final_obs=(ts.final_obs, to_final))


def _beside(inner: VecEnv, size: int) -> spaces.Tuple:
    return spaces.Tuple((inner.spec.obs_space, _vector(size)))


def _vector(size: int) -> spaces.Box:
    return spaces.Box(-jnp.inf, jnp.inf, (size,), jnp.float32)
