"""Mazes of the two labyrinths: a pool drawn in NumPy, moves, and the agent's view.

popgym 1.0.7 (core/maze.py) draws a maze by hunt and kill for each episode. Here many are drawn at
once when the environment is built and kept in its params; an episode picks one of them, one of
its eight symmetric forms, which are equally likely, and fresh entrances.
"""

import functools
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments.environment import EnvParams
from gymnax.environments.spaces import Discrete

from rlseq.envs.base import Env
from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError
from rlseq.fields import Episode, Range
from rlseq.types import PyTree

FREE, WALL, START, GOAL, HIDDEN = range(5)  # HIDDEN is for `reveal`; the spaces count it
NO_ACTION = 4
Side = Annotated[int, Range(6, 30)]
Pool = Annotated[int, Range(1, 16_384)]
MOVES = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)], np.int32)  # left, right, up, down


@struct.dataclass
class MazeParams(EnvParams):
    """The step limit and the pool: rows of walls as bits, uint32 [num_mazes, side]."""

    pool: jax.Array | None = None


class MazeState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    grid: jax.Array  # int8 [side, side], codes of cells
    position: jax.Array  # int32 [2], row and column
    explored: jax.Array  # bool [side, side]


class MazeEnv(Env):
    """What both labyrinths share; mazes of `maze_dims // 2` cells a side.

    obs int32 [10]: the 3 x 3 cells around the agent, then the action that led here (4 on the
    first observation); action int32 []: left, right, up, down. Every step that earns nothing
    costs 1 / (max_steps + 1).

    Raises InputError when maze_dims is odd.
    """

    can_truncate = True
    mean_length = 100  # ours, the fastest of 5, 20, 100 and 500 at 4096 environments
    has_goal: bool

    def __init__(self, maze_dims: Side = 10, max_steps: Episode = 1023, num_mazes: Pool = 4096):
        if maze_dims % 2:
            raise InputError(f"maze_dims must be even, got {maze_dims}")
        self.maze_dims = maze_dims
        self.max_steps = max_steps
        self.num_mazes = num_mazes
        self.pool = drawn_pool(maze_dims // 2, num_mazes)
        self.reward_range = (-1 / (max_steps + 1), self.best_reward())

    @property
    def default_params(self) -> MazeParams:
        return MazeParams(max_steps_in_episode=self.max_steps, pool=jnp.asarray(self.pool))

    def best_reward(self) -> float:
        """The largest reward of a step in any maze of the pool."""
        raise NotImplementedError

    def reset_env(self, key: jax.Array, params: Any) -> tuple[PyTree, MazeState]:
        maze_key, entrance_key = jax.random.split(key)
        grid = picked(maze_key, params.pool)
        start, goal = entrances(entrance_key, len(grid))
        if self.has_goal:
            grid = grid.at[goal[0], goal[1]].set(GOAL)
        grid = grid.at[start[0], start[1]].set(START)
        explored = jnp.zeros(grid.shape, bool).at[start[0], start[1]].set(True)
        state = MazeState(jnp.int32(0), grid, start, explored)
        return self.observe(key, state, None, params), state

    def observe(self, key: jax.Array, state: MazeState, action: PyTree, params: Any) -> jax.Array:
        last = jnp.asarray(NO_ACTION if action is None else action, jnp.int32)
        seen = view(state.grid, state.position).astype(jnp.int32)
        return jnp.concatenate([seen.ravel(), last[None]])

    def action_space(self, params: Any) -> Discrete:
        return Discrete(len(MOVES))

    def observation_space(self, params: Any) -> MultiDiscrete:
        return MultiDiscrete([5] * 10)

    def reveal(self, state: MazeState) -> jax.Array:
        """The cells visited so far, row by row, and HIDDEN elsewhere, as in popgym."""
        return jnp.where(state.explored, state.grid, jnp.int8(HIDDEN)).astype(jnp.int32).ravel()

    def state_space(self, params: Any) -> MultiDiscrete:
        return MultiDiscrete([5] * (self.maze_dims + 1) ** 2)


def moved(state: MazeState, action: jax.Array) -> MazeState:
    """The agent one cell on, unless a wall or the border is in the way; `time` grows by one."""
    target = state.position + jnp.asarray(MOVES)[action]
    target = jnp.clip(target, 0, len(state.grid) - 1)
    blocked = state.grid[target[0], target[1]] == WALL
    y, x = position = jnp.where(blocked, state.position, target)
    return MazeState(state.time + 1, state.grid, position, state.explored.at[y, x].set(True))


def view(grid: jax.Array, position: jax.Array) -> jax.Array:
    """int8 [3, 3] of the cells around a position.

    As upstream, what lies beyond the upper or left border is not shown as a row or column of its
    own: the rest moves up or left, and walls fill the end.
    """
    first = jnp.maximum(position - 1, 0)
    padded = jnp.pad(grid, ((0, 2), (0, 2)), constant_values=WALL)
    seen = jax.lax.dynamic_slice(padded, (first[0], first[1]), (3, 3))
    at = first[:, None] + jnp.arange(3, dtype=jnp.int32)[None]  # [2, 3], rows and columns
    near = at <= position[:, None] + 1
    return jnp.where(near[0][:, None] & near[1][None], seen, jnp.int8(WALL))


def picked(key: jax.Array, pool: jax.Array) -> jax.Array:
    """A maze of the pool in one of its eight symmetric forms: int8 [side, side], FREE or WALL."""
    index_key, form_key = jax.random.split(key)
    rows = pool[jax.random.randint(index_key, (), 0, len(pool), jnp.int32)]
    bits = rows[:, None] >> jnp.arange(len(rows), dtype=jnp.uint32)[None]
    grid = (bits & jnp.uint32(1)).astype(jnp.int8)
    transpose, flip_rows, flip_columns = jax.random.bernoulli(form_key, jnp.float32(0.5), (3,))
    grid = jnp.where(transpose, grid.T, grid)
    grid = jnp.where(flip_rows, grid[::-1], grid)
    return jnp.where(flip_columns, grid[:, ::-1], grid)


def entrances(key: jax.Array, side: int) -> tuple[jax.Array, jax.Array]:
    """(start, goal), int32 [2] each, on opposite outer walls, each beside a uniform cell."""
    side_key, cell_key = jax.random.split(key)
    upright, swapped = jax.random.bernoulli(side_key, jnp.float32(0.5), (2,))
    along = 2 * jax.random.randint(cell_key, (2,), 0, side // 2, jnp.int32) + 1
    across = jnp.where(swapped, jnp.int32([side - 1, 0]), jnp.int32([0, side - 1]))
    ends = jnp.stack([across, along], axis=1)
    ends = jnp.where(upright, ends[:, ::-1], ends)
    return ends[0], ends[1]


@functools.cache
def drawn_pool(num_cells: int, num_mazes: int, seed: int = 0) -> np.ndarray:
    """Random mazes of num_cells x num_cells cells, packed: uint32 [num_mazes, 2 * num_cells + 1].

    Hunt and kill as in mazelib 0.9.16: a walk opens unvisited neighbours until there are none,
    then goes on from any cell; where that is unvisited itself, the walk is empty. After as many
    jumps as the grid has squares it is over, so that rarely a cell stays closed.
    """
    rng = np.random.default_rng(seed)
    side, mazes = 2 * num_cells + 1, np.arange(num_mazes)
    walls = np.ones((num_mazes, side + 4, side + 4), bool)  # two squares of margin
    walls[:, [0, -1]] = walls[:, :, [0, -1]] = False  # never a place to walk to
    walls[:, [1, -2]] = walls[:, :, [1, -2]] = False
    cell = 2 * rng.integers(num_cells, size=(2, num_mazes)) + 3
    walls[mazes, cell[0], cell[1]] = False
    jumps = np.zeros(num_mazes, int)
    while (jumps <= side**2).any():
        step = random_step(rng, walls, cell, jumps <= side**2)
        walking = step.any(0)
        for reach in (1, 2):
            y, x = cell + reach * step
            walls[mazes[walking], y[walking], x[walking]] = False
        jump = 2 * rng.integers(num_cells, size=(2, num_mazes)) + 3
        cell = np.where(walking, cell + 2 * step, jump)
        jumps += ~walking
    rows = walls[:, 2:-2, 2:-2].astype(np.uint32) << np.arange(side, dtype=np.uint32)
    return rows.sum(axis=2, dtype=np.uint32)


def random_step(
    rng: np.random.Generator, walls: np.ndarray, cell: np.ndarray, going: np.ndarray
) -> np.ndarray:
    """A uniform direction to an unvisited neighbour of each cell [2, K], or 0: int [2, K]."""
    mazes = np.arange(cell.shape[1])
    y, x = cell[:, None] + 2 * MOVES.T[:, :, None]  # [4, K] each
    unvisited = walls[mazes, y, x] & going & ~walls[mazes, cell[0], cell[1]]
    best = np.where(unvisited, rng.random(unvisited.shape), -1.0).argmax(0)
    return MOVES[best].T * unvisited.any(0)
