"""LabyrinthEscape (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from typing import Any

import jax
import jax.numpy as jnp

from rlseq.envs.popgym.maze import GOAL, MazeEnv, MazeState, moved


class LabyrinthEscape(MazeEnv):
    """Find the goal in the wall opposite to the start; reaching it pays 1 and terminates.

    Every step costs 1 / (max_steps + 1), the last one too; `max_steps` steps truncate.
    Observations, actions and errors are those of `MazeEnv`.
    """

    has_goal = True

    def best_reward(self) -> float:
        return 1 - 1 / (self.max_steps + 1)

    def advance(
        self, key: jax.Array, state: MazeState, action: jax.Array
    ) -> tuple[MazeState, jax.Array]:
        state = moved(state, action)
        cost = 1 / (self.max_steps + 1)
        return state, jnp.where(on_goal(state), jnp.float32(1 - cost), jnp.float32(-cost))

    def is_terminated(self, state: MazeState, params: Any) -> jax.Array:
        return on_goal(state)


def on_goal(state: MazeState) -> jax.Array:
    """bool []: the agent stands on the goal."""
    return state.grid[state.position[0], state.position[1]] == GOAL
