"""MineSweeper (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Discrete

from rlseq.envs.base import Env
from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError
from rlseq.fields import Range
from rlseq.types import PyTree

MAX_COUNT = 9  # a square and its eight neighbours

Side = Annotated[int, Range(2, 64)]
Mines = Annotated[int, Range(1, 4096)]


class MineSweeperState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    mines: jax.Array  # bool [size, size]
    viewed: jax.Array  # bool [size, size], safe squares uncovered so far
    exploded: jax.Array  # bool [], the last step uncovered a mine


class MineSweeper(Env):
    """Uncover all L = size ** 2 - num_mines safe squares; only the last one uncovered is shown.

    A new safe square pays 1 / L, one already uncovered -0.5 / (L - 2), a mine -0.5 - 1 / L. A
    mine or the last safe square terminates, L steps truncate. obs int32 [] mines among the square
    and its neighbours, 0 on the first observation; action int32 [2] (row, column).

    Raises InputError when num_mines leaves fewer than three safe squares.
    """

    can_truncate = True
    mean_length = 5  # about that of random play

    def __init__(self, size: Side = 4, num_mines: Mines = 2):
        self.size = size
        self.num_mines = num_mines
        self.max_steps = size**2 - num_mines
        if self.max_steps < 3:
            raise InputError(
                "a board needs at least one mine and three safe squares, "
                f"got size = {size}, num_mines = {num_mines}"
            )
        self.reward_range = (-0.5 - 1 / self.max_steps, 1 / self.max_steps)

    def start(self, key: jax.Array) -> MineSweeperState:
        board = mined(key, self.size**2, self.num_mines).reshape(self.size, self.size)
        return MineSweeperState(jnp.int32(0), board, jnp.zeros_like(board), jnp.zeros((), bool))

    def advance(
        self, key: jax.Array, state: MineSweeperState, action: jax.Array
    ) -> tuple[MineSweeperState, jax.Array]:
        square = action[0], action[1]
        exploded = state.mines[square]
        again, new = jnp.float32(-0.5 / (self.max_steps - 2)), jnp.float32(1 / self.max_steps)
        safe = jnp.where(state.viewed[square], again, new)
        reward = jnp.where(exploded, jnp.float32(-0.5 - 1 / self.max_steps), safe)
        viewed = state.viewed.at[square].set(~exploded)
        return MineSweeperState(state.time + 1, state.mines, viewed, exploded), reward

    def is_terminated(self, state: MineSweeperState, params: Any) -> jax.Array:
        return state.exploded | jnp.all(state.mines | state.viewed)

    def observe(
        self, key: jax.Array, state: MineSweeperState, action: PyTree, params: Any
    ) -> jax.Array:
        if action is None:
            return jnp.int32(0)
        padded = jnp.pad(state.mines.astype(jnp.int32), 1)
        return jax.lax.dynamic_slice(padded, (action[0], action[1]), (3, 3)).sum(dtype=jnp.int32)

    def action_space(self, params: Any) -> MultiDiscrete:
        return MultiDiscrete([self.size] * 2)

    def observation_space(self, params: Any) -> Discrete:
        return Discrete(min(self.num_mines, MAX_COUNT) + 1)

    def reveal(self, state: MineSweeperState) -> jax.Array:
        """Every square, row by row: 0 covered and safe, 1 a mine, 2 uncovered."""
        return jnp.where(state.viewed, 2, state.mines.astype(jnp.int32)).ravel()

    def state_space(self, params: Any) -> MultiDiscrete:
        return MultiDiscrete([3] * self.size**2)


def mined(key: jax.Array, num_squares: int, num_mines: int) -> jax.Array:
    """bool [num_squares], num_mines of them True, every such set equally likely.

    Floyd's sampling: a step draws from one more square than the last and takes the newest one
    where the drawn square is taken. Far cheaper than sorting the squares.
    """
    newest = jnp.arange(num_squares - num_mines, num_squares, dtype=jnp.int32)
    drawn = jax.random.randint(key, (num_mines,), 0, newest + 1, jnp.int32)

    def add(i: jax.Array, mines: jax.Array) -> jax.Array:
        return mines.at[jnp.where(mines[drawn[i]], newest[i], drawn[i])].set(True)

    return jax.lax.fori_loop(0, num_mines, add, jnp.zeros(num_squares, bool))
