"""The common form of our own JAX environments, on top of gymnax 1.0's `Environment`."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.environment import Environment, EnvParams

from rlseq.types import PyTree


class Env(Environment[Any, EnvParams]):
    """A gymnax environment as four functions: start, advance, observe, is_terminated.

    A subclass sets `can_truncate` and `max_steps` and keeps its options as plain attributes. Its
    state is a NamedTuple of arrays with an int32 field `time`, the steps taken so far. `params`
    holds the step limit alone and only counts where `can_truncate` is True.

    Where fresh states are expensive, `mean_length` is about how long episodes are: as many of them
    are then computed at a time as end in a step on average. `reward_range` holds the smallest
    and the largest reward of a step, where they are known.
    """

    can_truncate: bool = False
    max_steps: int
    mean_length: int | None = None
    reward_range: tuple[float, float] = (-math.inf, math.inf)

    @property
    def default_params(self) -> EnvParams:
        return EnvParams(max_steps_in_episode=self.max_steps)

    def start(self, key: jax.Array) -> Any:
        """The hidden state of a fresh episode."""
        raise NotImplementedError

    def advance(self, key: jax.Array, state: Any, action: PyTree) -> tuple[Any, jax.Array]:
        """One transition: (next state, reward float32 []); `time` grows by one."""
        raise NotImplementedError

    def reveal(self, state: Any) -> PyTree:
        """The hidden state as an element of `state_space(params)`, where an environment has one."""
        raise NotImplementedError

    def to_draw(self, state: Any) -> PyTree:
        """What `pictures` draws of a state, made inside jit; where an environment has none, it
        draws observations."""
        raise NotImplementedError

    def pictures(self, kept: PyTree) -> np.ndarray:
        """Images uint8 [T, H, W, 3] of observations, or of what `to_draw` returns, [T, ...]; drawn
        on the host, where an environment has them."""
        raise NotImplementedError

    def check_pictures(self) -> None:
        """Raise InputError where something that `pictures` needs is missing on this machine."""

    def across_episodes(self, venv: Any) -> Any:
        """The batched environment, wrapped where something outlives an episode."""
        return venv

    def is_terminated(self, state: Any, params: EnvParams) -> jax.Array:
        """bool []: by default an episode ends for good after `max_steps` steps."""
        return state.time >= self.max_steps

    def is_truncated(self, state: Any, params: EnvParams) -> jax.Array:
        """bool []: the step limit is reached; never where `can_truncate` is False."""
        if not self.can_truncate:
            return jnp.zeros((), bool)
        return state.time >= params.max_steps_in_episode

    def reset_env(self, key: jax.Array, params: EnvParams) -> tuple[PyTree, Any]:
        start_key, obs_key = jax.random.split(key)
        state = self.start(start_key)
        return self.observe(obs_key, state, None, params), state

    def step_env(
        self, key: jax.Array, state: Any, action: PyTree, params: EnvParams
    ) -> tuple[PyTree, Any, jax.Array, jax.Array, dict[str, Any]]:
        advance_key, obs_key = jax.random.split(key)
        state, reward = self.advance(advance_key, state, action)
        obs = self.observe(obs_key, state, action, params)
        return obs, state, reward, self.is_terminated(state, params), {}
