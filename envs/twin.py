"""The fully observed twin of an environment: the same episodes, with the hidden state visible."""

from typing import Any

import jax
from gymnax.environments import spaces

from rlseq.envs.base import Env
from rlseq.envs.env_wrapper import EnvWrapper
from rlseq.errors import InputError
from rlseq.types import PyTree


class Twin(EnvWrapper):
    """`inner`, whose observation becomes `inner.reveal(state)`, an element of its `state_space`.

    With `both` it is {"obs": observation, "state": hidden state}. States, actions, rewards and
    ends are those of `inner`, with the same keys the same ones.

    Raises InputError for an environment that reveals nothing.
    """

    def __init__(self, inner: Env, both: bool):
        if type(inner).reveal is Env.reveal:
            raise InputError(f"{inner.name} has no state to show: observe it with observe='obs'")
        super().__init__(inner)
        self.both = both

    def reset_env(self, key: jax.Array, params: Any) -> tuple[PyTree, Any]:
        obs, state = self.inner.reset_env(key, params)
        return self._shown(obs, state), state

    def step_env(
        self, key: jax.Array, state: Any, action: PyTree, params: Any
    ) -> tuple[PyTree, Any, jax.Array, jax.Array, dict[str, Any]]:
        obs, state, reward, ended, info = self.inner.step_env(key, state, action, params)
        return self._shown(obs, state), state, reward, ended, info

    def observe(self, key: jax.Array, state: Any, action: PyTree, params: Any) -> PyTree:
        return self._shown(self.inner.observe(key, state, action, params), state)

    def observation_space(self, params: Any) -> spaces.Space:
        state = self.inner.state_space(params)
        if not self.both:
            return state
        return spaces.Dict({"obs": self.inner.observation_space(params), "state": state})

    def _shown(self, obs: PyTree, state: Any) -> PyTree:
        hidden = self.inner.reveal(state)
        return {"obs": obs, "state": hidden} if self.both else hidden
