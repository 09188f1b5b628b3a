"""The common form of environments around one other environment, before batching."""

from typing import Any

import jax
from gymnax.environments import spaces

from rlseq.envs.base import Env
from rlseq.types import PyTree


class EnvWrapper(Env):
    """`inner` as it is; a subclass replaces what it changes.

    Where its state holds more than the inner one, it says in `inside` where that is.
    """

    def __init__(self, inner: Env):
        self.inner = inner
        self.can_truncate = inner.can_truncate
        self.max_steps = inner.max_steps
        self.mean_length = inner.mean_length
        self.reward_range = inner.reward_range

    def inside(self, state: Any) -> Any:
        """The state of `inner` in the one of this environment."""
        return state

    @property
    def default_params(self) -> Any:
        return self.inner.default_params

    @property
    def name(self) -> str:
        return self.inner.name

    def reset_env(self, key: jax.Array, params: Any) -> tuple[PyTree, Any]:
        return self.inner.reset_env(key, params)

    def observe(self, key: jax.Array, state: Any, action: PyTree, params: Any) -> PyTree:
        return self.inner.observe(key, self.inside(state), action, params)

    def is_terminated(self, state: Any, params: Any) -> jax.Array:
        return self.inner.is_terminated(self.inside(state), params)

    def is_truncated(self, state: Any, params: Any) -> jax.Array:
        return self.inner.is_truncated(self.inside(state), params)

    def action_space(self, params: Any) -> spaces.Space:
        return self.inner.action_space(params)

    def observation_space(self, params: Any) -> spaces.Space:
        return self.inner.observation_space(params)
