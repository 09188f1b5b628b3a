"""MiniGrid's tasks (Chevalier-Boisvert et al. 2306.13831) in JAX, of XLand-MiniGrid."""

import importlib
import math
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Discrete

from rlseq.envs.gymnax_adapter import default_rules
from rlseq.envs.jax_families.adapter import Outcome, PackageEnv
from rlseq.envs.jax_families.xminigrid import MINIGRID
from rlseq.envs.spaces import MultiDiscrete
from rlseq.fields import OneOf, Range
from rlseq.types import PyTree

Limit = Annotated[int | None, Range(1, 1_000_000)]
PIXELS = 28  # of a drawn cell


class MiniGrid(PackageEnv):
    """A task of MiniGrid; obs int32 [2 * view * view]: tile and colour of each cell in sight, row
    by row, as the package shows them, but as choices rather than bytes.

    An episode terminates where the task is solved (or, in the Memory tasks, failed), and is cut
    after `max_steps` steps, by default the package's own number. A success pays
    1 - 0.9 * steps / max_steps.
    """

    reward_range = (0.0, 1.0)
    mean_length = 100  # ours

    def __init__(self, name: Annotated[str, OneOf(MINIGRID)], max_steps: Limit = None):
        self._make(name, max_steps)
        self.max_steps = self.settings.max_steps

    def _make(self, name: str, max_steps: int | None) -> None:
        """The package's environment and its params, with its own limit where none is given."""
        self.title = name
        self.package: Any
        with default_rules():
            self.package, settings = importlib.import_module("xminigrid").make(name)
        self.settings: Any = (
            settings if max_steps is None else settings.replace(max_steps=max_steps)
        )

    @property
    def name(self) -> str:
        return self.title

    def reset_with(self, key: jax.Array) -> tuple[jax.Array, Any]:
        inner = self.package.reset(self.settings, key)
        return seen(inner), inner

    def step_with(self, key: jax.Array, inner: Any, action: jax.Array) -> Outcome:
        inner = self.package.step(self.settings, inner, action)
        return Outcome(seen(inner), inner, inner.reward, inner.last() & (inner.discount == 0))

    def action_space(self, params: Any) -> Discrete:
        return Discrete(self.package.num_actions(self.settings))

    def observation_space(self, params: Any) -> MultiDiscrete:
        numbers = importlib.import_module("xminigrid.core.constants")
        cell = [numbers.NUM_TILES, numbers.NUM_COLORS]
        return MultiDiscrete(cell * self.settings.view_size**2)

    def pictures(self, obs: PyTree) -> np.ndarray:
        """What the agent sees from below in the middle, looking up, in the package's drawings; what
        is hidden is black."""
        return drawn_cells(np.asarray(obs))


def drawn_cells(cells: np.ndarray) -> np.ndarray:
    """uint8 [T, H, W, 3] of cells int32 [T, 2 * view * view]."""
    draw = importlib.import_module("xminigrid.rendering.rgb_render").render_tile
    view = math.isqrt(cells.shape[1] // 2)
    cells = cells.reshape(-1, view, view, 2)
    tiles = np.zeros((*cells.shape[:3], PIXELS, PIXELS, 3), np.uint8)
    for time, row, column in np.ndindex(*cells.shape[:3]):
        tile, color = map(int, cells[time, row, column])
        upwards = 0 if (row, column) == (view - 1, view // 2) else None
        if tile != 0:  # the package's "empty": out of sight
            tiles[time, row, column] = draw((tile, color), upwards, tile_size=PIXELS)
    return tiles.swapaxes(2, 3).reshape(-1, view * PIXELS, view * PIXELS, 3)


def seen(timestep: Any) -> jax.Array:
    """What the agent sees, in one row."""
    return jnp.ravel(timestep.observation).astype(jnp.int32)
