"""A probe in pixels: a ball falls straight down and a paddle must be below it at the end."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Box, Discrete, Space

from rlseq.envs.probe_base import Probe
from rlseq.fields import Range
from rlseq.types import PyTree

SIZE, CELL = 64, 8  # pixels; a board of 8 x 8 cells
CELLS = SIZE // CELL
MIDDLE = CELLS // 2  # where the paddle starts
BALL = np.array([236, 236, 236], np.uint8)
PADDLE = np.array([200, 72, 72], np.uint8)


class CatchState(NamedTuple):
    time: jax.Array  # int32 [], steps taken: the row of the ball
    ball: jax.Array  # int32 [], its column
    paddle: jax.Array  # int32 [], the column of the paddle, in the last row


class Catch(Probe):
    """Catch in 64 x 64 RGB: pays 1 if the ball lands on the paddle, else -1, and ends.

    The ball falls a row a step; actions move the paddle to the left, not at all, or to the right.
    The ball is seen in its first `visible_rows` rows only. Without memory only the position of
    the paddle can encode where the ball is: an action in each visible row leaves
    2 visible_rows + 1 positions, from each of which the paddle can go to one column of its own, so
    as many of the 8 columns can be caught. Fails: pixels do not reach the core, or, where the
    ball goes out of sight, its memory.
    """

    max_steps = CELLS - 1

    def __init__(self, visible_rows: Annotated[int, Range(1, CELLS)] = CELLS):
        self.visible_rows = visible_rows
        caught = min(2 * visible_rows + 1, CELLS)
        self.optimal_return = 1.0
        self.memoryless_return = 2 * caught / CELLS - 1
        self.needs_memory = caught < CELLS
        self.first_obs = np.stack([self._drawn_by_numpy(column) for column in range(CELLS)])

    def value(self, gamma: float) -> np.ndarray:
        return np.full(CELLS, gamma ** (self.max_steps - 1))

    def start(self, key: jax.Array) -> CatchState:
        ball = jax.random.randint(key, (), 0, CELLS, jnp.int32)
        return CatchState(jnp.int32(0), ball, jnp.int32(MIDDLE))

    def advance(
        self, key: jax.Array, state: CatchState, action: PyTree
    ) -> tuple[CatchState, jax.Array]:
        paddle = jnp.clip(state.paddle + action.astype(jnp.int32) - 1, 0, CELLS - 1)
        time = state.time + 1
        landed = jnp.where(paddle == state.ball, jnp.float32(1), jnp.float32(-1))
        reward = jnp.where(time == self.max_steps, landed, 0)
        return CatchState(time, state.ball, paddle), reward

    def observe(self, key: jax.Array, state: CatchState, action: PyTree, params: Any) -> jax.Array:
        row, column = (jnp.arange(SIZE, dtype=jnp.int32) // CELL for _ in range(2))
        seen = state.time < self.visible_rows
        ball = (row == state.time)[:, None] & (column == state.ball)[None] & seen
        paddle = (row == CELLS - 1)[:, None] & (column == state.paddle)[None]
        nothing = jnp.zeros((1, 1, 3), jnp.uint8)
        drawn = jnp.where(paddle[..., None], PADDLE[None, None], nothing)
        return jnp.where(ball[..., None], BALL[None, None], drawn)

    def action_space(self, params: Any) -> Space:
        return Discrete(3)

    def observation_space(self, params: Any) -> Box:
        return Box(0, 255, (SIZE, SIZE, 3), jnp.uint8)

    @staticmethod
    def _drawn_by_numpy(column: int) -> np.ndarray:
        """The first observation of an episode whose ball starts in a column."""
        image = np.zeros((CELLS, CELL, CELLS, CELL, 3), np.uint8)
        image[0, :, column] = BALL
        image[-1, :, MIDDLE] = PADDLE
        return image.reshape(SIZE, SIZE, 3)
