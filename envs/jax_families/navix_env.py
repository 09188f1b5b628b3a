"""NAVIX's tasks: what the agent sees, and the board that it does not."""

import importlib
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Box, Discrete, Space

from rlseq.envs.gymnax_adapter import default_rules
from rlseq.envs.jax_families.adapter import Outcome, PackageEnv, PackageState
from rlseq.envs.jax_families.navix import NAMES
from rlseq.envs.spaces import MultiDiscrete
from rlseq.fields import Episode, OneOf

CELL = (11, 6, 4)  # how many things, colours, and states of doors or directions there are


class Navix(PackageEnv):
    """A task of NAVIX, from the agent's eyes.

    obs: int32 [7 * 7 * 3], thing, colour and state of each cell before the agent, row by row; with
    `pixels=True` uint8 [56, 56, 3]. `observe="state"` shows the whole board in the first form. An
    episode terminates where the package says so, and is cut after `max_steps` steps, the package's
    own 100.

    Raises InputError for an unknown name.
    """

    reward_range = (-1.0, 1.0)
    mean_length = 100  # ours

    def __init__(
        self, name: Annotated[str, OneOf(NAMES)], pixels: bool = False, max_steps: Episode = 100
    ):
        with default_rules():
            navix: Any = importlib.import_module("navix")
            views = navix.observations
            view = views.rgb_first_person if pixels else views.symbolic_first_person
            self.package: Any = navix.make(name, max_steps=max_steps, observation_fn=view)
        self.title, self.max_steps, self.pixels = name, max_steps, pixels
        self.board, self.picture = views.symbolic, views.rgb

    @property
    def name(self) -> str:
        return self.title

    def reset_with(self, key: jax.Array) -> tuple[jax.Array, Any]:
        inner = self.package.reset(key)
        if not self.pixels:  # sprites of the whole board, in every state
            inner = inner.replace(state=inner.state.replace(cache=None))
        return self._shown(inner.observation), inner

    def step_with(self, key: jax.Array, inner: Any, action: jax.Array) -> Outcome:
        # `step` would restart what has ended, which never comes here.
        inner = self.package._step(inner, action)
        ends = inner.is_termination(), inner.is_truncation()
        return Outcome(self._shown(inner.observation), inner, inner.reward, *ends)

    def reveal(self, state: PackageState) -> jax.Array:
        with default_rules():
            return _choices(self.board(state.inner.state))

    def to_draw(self, state: PackageState) -> jax.Array:
        """The whole board."""
        cache = importlib.import_module("navix.rendering.cache").RenderingCache
        with default_rules():
            inner = state.inner.state
            return self.picture(inner.replace(cache=cache.init(inner.grid)))

    def pictures(self, kept: np.ndarray) -> np.ndarray:
        return np.asarray(kept)

    def state_space(self, params: Any) -> MultiDiscrete:
        return MultiDiscrete(CELL * (self.package.height * self.package.width))

    def action_space(self, params: Any) -> Discrete:
        return Discrete(int(self.package.action_space.n))

    def observation_space(self, params: Any) -> Space:
        shape = self.package.observation_space.shape
        if self.pixels:
            return Box(0, 255, shape, jnp.uint8)
        return MultiDiscrete(CELL * (shape[0] * shape[1]))

    def _shown(self, obs: jax.Array) -> jax.Array:
        return obs if self.pixels else _choices(obs)


def _choices(cells: jax.Array) -> jax.Array:
    """uint8 [H, W, 3] in one row; no colour, 255, is that of walls, as in the agent's own view."""
    return jnp.minimum(cells.astype(jnp.int32), jnp.asarray(CELL) - 1).ravel()
