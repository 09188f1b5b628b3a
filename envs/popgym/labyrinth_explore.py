"""LabyrinthExplore (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.envs.popgym.maze import FREE, WALL, MazeEnv, MazeState, moved


class LabyrinthExplore(MazeEnv):
    """Visit every open cell of the maze; the last one terminates.

    Each of the F open cells but the start pays 1 / F when first visited; any other step costs
    1 / (max_steps + 1); `max_steps` steps truncate. Observations, actions and errors are those of
    `MazeEnv`.
    """

    has_goal = False

    def best_reward(self) -> float:
        walls = np.unpackbits(self.pool.view(np.uint8), axis=-1).sum(axis=-1)
        return 1 / ((self.maze_dims + 1) ** 2 - int(walls.max()))

    def advance(
        self, key: jax.Array, state: MazeState, action: jax.Array
    ) -> tuple[MazeState, jax.Array]:
        new = moved(state, action)
        earned = 1 / jnp.sum(state.grid == FREE, dtype=jnp.float32)
        is_new = jnp.any(new.explored != state.explored)
        return new, jnp.where(is_new, earned, -1 / (self.max_steps + 1))

    def is_terminated(self, state: MazeState, params: Any) -> jax.Array:
        return jnp.all(state.explored == (state.grid != WALL))
