"""Degraded observations: masked, noisy, flickering, delayed. Each wraps a VecEnv."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from rlseq.envs.batched import Wrapper
from rlseq.envs.spaces import MultiDiscrete, check_choices, describe, map_parts, map_space
from rlseq.envs.vec import pick
from rlseq.errors import InputError
from rlseq.types import PyTree, TimeStep, VecEnv

OWN_STREAM = 0x0B5C0DE5  # far from the numbers that splitting a key counts through


class ObservationWrapper(Wrapper):
    """obs and final_obs pass through `change`; the state is the inner one.

    Random numbers are new for every observation, and for `final_obs` where an episode ended. The
    same keys give the same episodes as without the wrapper.
    """

    def __init__(self, inner: VecEnv, obs_space: spaces.Space):
        super().__init__(inner, obs_space=obs_space)

    def change(self, key: jax.Array, obs: PyTree) -> PyTree:
        """Observations [E, ...] of the inner space -> [E, ...] of this one."""
        raise NotImplementedError

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        state, ts = self.inner.reset(key)
        obs = self.change(jax.random.fold_in(key, OWN_STREAM), ts.obs)
        return state, ts._replace(obs=obs, final_obs=obs)

    def step(self, state: Any, action: PyTree, key: jax.Array) -> tuple[Any, TimeStep]:
        state, ts = self.inner.step(state, action, key)
        obs_key, final_key = jax.random.split(jax.random.fold_in(key, OWN_STREAM))
        obs, final = self.change(obs_key, ts.obs), self.change(final_key, ts.final_obs)
        return state, ts._replace(obs=obs, final_obs=_where_ended(ts, final, obs))


class Masked(ObservationWrapper):
    """Some entries of the last axis are always 0: of a vector, or the channels of an image.

    Raises InputError where an observation is no Box or MultiDiscrete, and for entries that it
    does not have.
    """

    def __init__(self, inner: VecEnv, entries: Sequence[int]):
        space = inner.spec.obs_space
        if not isinstance(space, spaces.Box | MultiDiscrete) or not space.shape:
            raise InputError(f"obs_mask needs a Box or MultiDiscrete, not {describe(space)}")
        size = space.shape[-1]
        if not all(0 <= entry < size for entry in entries):
            raise InputError(f"obs_mask takes entries in 0 .. {size - 1}, got {tuple(entries)}")
        super().__init__(inner, _with_zero(space))
        self.hidden = np.isin(np.arange(size), entries)

    def change(self, key: jax.Array, obs: jax.Array) -> jax.Array:
        hidden = self.hidden.reshape(*[1] * (obs.ndim - 1), -1)
        return jnp.where(hidden, jnp.zeros((), obs.dtype), obs)


class Noisy(ObservationWrapper):
    """Normal noise on every Box, kept within its bounds; whole numbers stay whole.

    Raises InputError for a sigma below 0 and where there is no Box.
    """

    def __init__(self, inner: VecEnv, sigma: float):
        space = inner.spec.obs_space
        boxes: list[bool] = []
        map_space(lambda part: boxes.append(isinstance(part, spaces.Box)), space)
        if not any(boxes):
            raise InputError(f"obs_noise needs a Box, not {describe(space)}")
        if not sigma >= 0:
            raise InputError(f"obs_noise must be at least 0, got {sigma}")
        super().__init__(inner, space)
        self.sigma = sigma

    def change(self, key: jax.Array, obs: PyTree) -> PyTree:
        def add(part: spaces.Space, x: jax.Array, key: jax.Array) -> jax.Array:
            if not isinstance(part, spaces.Box):
                return x
            noise = self.sigma * jax.random.normal(key, x.shape, jnp.float32)
            low, high = (np.broadcast_to(b, x.shape) for b in _bounds(part))
            if jnp.issubdtype(x.dtype, jnp.integer):
                return _sum_within(x, jnp.round(noise).astype(jnp.int32), low, high)
            low, high = low.astype(np.float32), high.astype(np.float32)
            return jnp.clip(x.astype(jnp.float32) + noise, low, high).astype(x.dtype)

        leaves, tree = jax.tree.flatten(obs)
        keys = jax.tree.unflatten(tree, list(jax.random.split(key, len(leaves))))
        return map_parts(add, self.spec.obs_space, obs, keys)


class Flickering(ObservationWrapper):
    """With some probability nothing is seen: a Box is 0, a choice of n is n, an entry of its own.

    Hausknecht and Stone (1507.06527). One coin a step for all parts of an observation; first
    observations flicker too.

    Raises InputError for a probability outside 0 .. 1.
    """

    def __init__(self, inner: VecEnv, probability: float):
        if not 0 <= probability <= 1:
            raise InputError(f"obs_flicker is a probability, got {probability}")
        super().__init__(inner, map_space(_with_nothing, inner.spec.obs_space))
        self.probability = probability

    def change(self, key: jax.Array, obs: PyTree) -> PyTree:
        dark = jax.random.bernoulli(key, jnp.float32(self.probability), (self.num_envs,))

        def hide(part: spaces.Space, x: jax.Array) -> jax.Array:
            return pick(dark, jnp.broadcast_to(_nothing(part), x.shape).astype(x.dtype), x)

        return map_parts(hide, self.inner.spec.obs_space, obs)


class DelayedState(NamedTuple):
    inner: Any
    waiting: PyTree  # [E, delay, ...], observations not shown yet, oldest first


class Delayed(Wrapper):
    """Observations come `delay` steps late; until then an episode shows its first one.

    `final_obs` is late too. Raises InputError when delay is below 1.
    """

    def __init__(self, inner: VecEnv, delay: int):
        if delay < 1:
            raise InputError(f"obs_delay must be at least 0, got {delay}")
        super().__init__(inner)
        self.delay = delay

    def inside(self, state: DelayedState) -> Any:
        return state.inner

    def reset(self, key: jax.Array) -> tuple[DelayedState, TimeStep]:
        state, ts = self.inner.reset(key)
        return DelayedState(state, self._full_of(ts.obs)), ts

    def step(
        self, state: DelayedState, action: PyTree, key: jax.Array
    ) -> tuple[DelayedState, TimeStep]:
        inner, ts = self.inner.step(state.inner, action, key)
        due = jax.tree.map(lambda x: x[:, 0], state.waiting)

        def push(waiting: jax.Array, new: jax.Array) -> jax.Array:
            return jnp.concatenate([waiting[:, 1:], new[:, None]], axis=1)

        def fresh_or(fresh: jax.Array, going_on: jax.Array) -> jax.Array:
            return pick(ts.reset, fresh, going_on)

        pushed = jax.tree.map(push, state.waiting, ts.obs)
        waiting = jax.tree.map(fresh_or, self._full_of(ts.obs), pushed)
        obs = jax.tree.map(fresh_or, ts.obs, due)
        ts = ts._replace(obs=obs, final_obs=_where_ended(ts, due, obs))
        return DelayedState(inner, waiting), ts

    def _full_of(self, obs: PyTree) -> PyTree:
        return jax.tree.map(lambda x: jnp.repeat(x[:, None], self.delay, axis=1), obs)


def _where_ended(ts: TimeStep, final: PyTree, obs: PyTree) -> PyTree:
    ended = ts.terminated | ts.truncated
    return jax.tree.map(lambda a, b: pick(ended, a, b), final, obs)


def _sum_within(x: jax.Array, more: jax.Array, low: np.ndarray, high: np.ndarray) -> jax.Array:
    """x + more of whole numbers, cut to the bounds, also where the sum is beyond their dtype."""
    ends = jnp.iinfo(x.dtype)
    low, high = (np.clip(bound, ends.min, ends.max).astype(x.dtype) for bound in (low, high))
    if x.dtype.itemsize < 4:
        low, high = low.astype(np.int32), high.astype(np.int32)
        return jnp.clip(x.astype(jnp.int32) + more, low, high).astype(x.dtype)
    total = x + more.astype(x.dtype)
    total = jnp.where((more > 0) & (total < x), high, total)
    total = jnp.where((more < 0) & (total > x), low, total)
    return jnp.clip(total, low, high)


def _nothing(part: spaces.Space) -> np.ndarray:
    """What is seen of a part when nothing is."""
    if isinstance(part, MultiDiscrete):
        return np.asarray(part.nvec, np.int32)
    return np.asarray(part.n if isinstance(part, spaces.Discrete) else 0, np.int32)


def _bounds(box: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(box.low), np.asarray(box.high)


def _with_nothing(part: spaces.Space) -> spaces.Space:
    match part:
        case MultiDiscrete():
            return MultiDiscrete([n + 1 for n in part.nvec])
        case spaces.Discrete():
            check_choices(part.n + 1)
            return spaces.Discrete(part.n + 1)
    return _with_zero(part)


def _with_zero(part: spaces.Space) -> spaces.Space:
    """A Box whose bounds let 0 in; any other space as it is."""
    if not isinstance(part, spaces.Box):
        return part
    bounds = _bounds(part)
    low, high = np.minimum(bounds[0], 0), np.maximum(bounds[1], 0)
    same = np.array_equal(low, bounds[0]) and np.array_equal(high, bounds[1])
    return part if same else spaces.Box(jnp.asarray(low), jnp.asarray(high), part.shape, part.dtype)
