"""Wrappers of actions: sticky actions, frame skip, whole numbers as choices."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from rlseq.envs.base import Env
from rlseq.envs.batched import Wrapper
from rlseq.envs.env_wrapper import EnvWrapper
from rlseq.envs.spaces import MultiDiscrete, choices_of
from rlseq.errors import InputError
from rlseq.types import PyTree, TimeStep, VecEnv


class StickyState(NamedTuple):
    """The inner state and the action that it took last."""

    inner: Any
    action: PyTree  # an element of the action space; zeros before the first
    started: jax.Array  # bool []: there was an action in this episode


class StickyActions(EnvWrapper):
    """With some probability the last action is repeated instead of the agent's.

    Machado et al. (1709.06009). The first action of an episode is always the agent's. Spaces,
    rewards and ends are those of `inner`.

    Raises InputError for a probability outside 0 .. 1.
    """

    def __init__(self, inner: Env, probability: float):
        if not 0 <= probability <= 1:
            raise InputError(f"sticky_actions is a probability, got {probability}")
        super().__init__(inner)
        self.probability = probability

    def inside(self, state: StickyState) -> Any:
        return state.inner

    def reset_env(self, key: jax.Array, params: Any) -> tuple[PyTree, StickyState]:
        obs, state = self.inner.reset_env(key, params)
        like = jax.eval_shape(self.action_space(params).sample, key)
        none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
        return obs, StickyState(state, none, jnp.zeros((), bool))

    def step_env(
        self, key: jax.Array, state: StickyState, action: PyTree, params: Any
    ) -> tuple[PyTree, StickyState, jax.Array, jax.Array, dict[str, Any]]:
        step_key, coin_key = jax.random.split(key)
        sticks = state.started & jax.random.bernoulli(coin_key, jnp.float32(self.probability))

        def chosen(before: jax.Array, new: jax.Array) -> jax.Array:
            return jnp.where(sticks, before, jnp.asarray(new, before.dtype))

        taken = jax.tree.map(chosen, state.action, action)
        stepped = self.inner.step_env(step_key, state.inner, taken, params)
        obs, inner, reward, terminated, info = stepped
        return obs, StickyState(inner, taken, jnp.ones((), bool)), reward, terminated, info


class FrameSkip(EnvWrapper):
    """Each action is taken `skip` times, or until the episode ends; rewards are summed.

    The last of the observations is shown. Its longest episode is that of `inner` over `skip`,
    rounded up.

    Raises InputError when skip is below 1.
    """

    def __init__(self, inner: Env, skip: int):
        if skip < 1:
            raise InputError(f"frame_skip must be at least 1, got {skip}")
        super().__init__(inner)
        self.skip = skip
        self.max_steps = -(-inner.max_steps // skip)
        self.mean_length = inner.mean_length and -(-inner.mean_length // skip)
        low, high = inner.reward_range
        self.reward_range = (min(low, skip * low), max(high, skip * high))

    def step_env(
        self, key: jax.Array, state: Any, action: PyTree, params: Any
    ) -> tuple[PyTree, Any, jax.Array, jax.Array, dict[str, Any]]:
        def step(key: jax.Array, state: Any) -> tuple[Any, ...]:
            obs, state, reward, terminated, _ = self.inner.step_env(key, state, action, params)
            return obs, state, reward.astype(jnp.float32), terminated

        def again(before: tuple[Any, ...], key: jax.Array) -> tuple[tuple[Any, ...], None]:
            _, state, total, terminated = before
            over = terminated | self.inner.is_truncated(state, params)
            obs, state, reward, terminated = step(key, state)
            after = obs, state, total + reward, terminated
            return jax.tree.map(lambda old, new: jnp.where(over, old, new), before, after), None

        keys = jax.random.split(key, self.skip)
        result, _ = jax.lax.scan(again, step(keys[0], state), keys[1:])
        return *result, {}


class ChosenIntegers(Wrapper):
    """A Box of whole numbers as choices: entry i of an action is its lowest value plus choice i.

    Actions are int32 [E, number of entries], an element of a MultiDiscrete. For a Box of which
    `choices_of` knows how many values its entries have.
    """

    def __init__(self, inner: VecEnv):
        box: spaces.Box = inner.spec.action_space
        super().__init__(inner, action_space=MultiDiscrete(choices_of(box) or ()))
        self.box = box
        self.low = np.broadcast_to(np.asarray(box.low), box.shape).astype(box.dtype)

    def step(self, state: Any, action: PyTree, key: jax.Array) -> tuple[Any, TimeStep]:
        # Narrow dtypes wrap on the way to a sum that fits them.
        chosen = jnp.asarray(action).astype(self.box.dtype).reshape(-1, *self.box.shape)
        return self.inner.step(state, chosen + self.low[None], key)
