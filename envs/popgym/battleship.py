"""Battleship (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Discrete, Tuple

from rlseq.envs.base import Env
from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError
from rlseq.fields import Length, Range
from rlseq.types import PyTree

Side = Annotated[int, Range(2, 64)]
Ships = Annotated[Sequence[int], Length(1, 64), Range(1, 64)]


class BattleshipState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    ships: jax.Array  # bool [size, size]
    guessed: jax.Array  # bool [size, size], squares shot at so far
    hit: jax.Array  # bool [], the last shot was a new hit


class Battleship(Env):
    """Shoot at hidden ships until all are sunk, at most board_size ** 2 times.

    The ships are placed one after another, each uniformly where it overlaps no other. A new hit
    pays 1 / S, S squares of ships in all, any other shot -1 / (board_size ** 2 - S). Sinking all
    terminates, the limit truncates. obs int32 [] 1 after a new hit, else 0; action int32 [2]
    (row, column).

    Raises InputError when the board is too small to be sure of a place for each ship.
    """

    can_truncate = True
    mean_length = 100  # ours: between perfect play and the limit

    def __init__(self, board_size: Side = 10, ship_sizes: Ships = (2, 3, 3, 4)):
        self.board_size = board_size
        self.ship_sizes = tuple(ship_sizes)
        self.num_targets = sum(self.ship_sizes)
        self.max_steps = board_size**2
        if self.num_targets >= self.max_steps or not fits(board_size, self.ship_sizes):
            raise InputError(f"ships {self.ship_sizes} are too many for board_size {board_size}")
        self.reward_range = (-1 / (self.max_steps - self.num_targets), 1 / self.num_targets)

    def start(self, key: jax.Array) -> BattleshipState:
        board = jnp.zeros((self.board_size, self.board_size), bool)
        ships = board
        for ship_key, size in zip(
            jax.random.split(key, len(self.ship_sizes)), self.ship_sizes, strict=True
        ):
            ships = placed(ship_key, ships, size)
        return BattleshipState(jnp.int32(0), ships, board, jnp.zeros((), bool))

    def advance(
        self, key: jax.Array, state: BattleshipState, action: jax.Array
    ) -> tuple[BattleshipState, jax.Array]:
        square = action[0], action[1]
        hit = state.ships[square] & ~state.guessed[square]
        miss = jnp.float32(-1 / (self.max_steps - self.num_targets))
        reward = jnp.where(hit, jnp.float32(1 / self.num_targets), miss)
        guessed = state.guessed.at[square].set(True)
        return BattleshipState(state.time + 1, state.ships, guessed, hit), reward

    def is_terminated(self, state: BattleshipState, params: Any) -> jax.Array:
        return jnp.all(state.guessed | ~state.ships)

    def observe(
        self, key: jax.Array, state: BattleshipState, action: PyTree, params: Any
    ) -> jax.Array:
        return state.hit.astype(jnp.int32)

    def action_space(self, params: Any) -> MultiDiscrete:
        return MultiDiscrete([self.board_size] * 2)

    def observation_space(self, params: Any) -> Discrete:
        return Discrete(2)

    def reveal(self, state: BattleshipState) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The ships and the shots, row by row, and the observation."""
        ships, guessed = (x.ravel().astype(jnp.int32) for x in (state.ships, state.guessed))
        return ships, guessed, state.hit.astype(jnp.int32)

    def state_space(self, params: Any) -> Tuple:
        board = MultiDiscrete([2] * self.max_steps)
        return Tuple((board, board, Discrete(2)))


def fits(board_size: int, ship_sizes: tuple[int, ...]) -> bool:
    """Every ship finds a position, wherever those before it lie.

    A ship of size t takes at most s + t - 1 places along its own axis from one of size s, and at
    most s * t across; in all there are twice board_size * (board_size - s + 1).
    """
    for i, s in enumerate(ship_sizes):
        taken = sum(s + t - 1 + s * t for t in ship_sizes[:i])
        if s > board_size or taken >= 2 * board_size * (board_size - s + 1):
            return False
    return True


def placed(key: jax.Array, ships: jax.Array, size: int) -> jax.Array:
    """ships bool [N, N] with one more ship of this size, uniform over its free positions."""
    num_starts = len(ships) - size + 1
    along = jnp.stack([free(ships, size), free(ships.T, size)])  # [axis, line, start]
    so_far = jnp.cumsum(along.ravel(), dtype=jnp.int32)
    drawn = jax.random.randint(key, (), 0, so_far[-1], jnp.int32)
    place = jnp.argmax(so_far > drawn).astype(jnp.int32)
    axis, line, start = jnp.unravel_index(place, (2, len(ships), num_starts))
    at = jnp.arange(len(ships), dtype=jnp.int32)
    ship = (at == line)[:, None] & ((at >= start) & (at < start + size))[None]
    return ships | jnp.where(axis == 0, ship, ship.T)


def free(ships: jax.Array, size: int) -> jax.Array:
    """bool [N, N - size + 1]: the `size` squares of a row from each start on hold no ship."""
    num_starts = len(ships) - size + 1
    return ~jnp.stack([ships[:, i : i + num_starts] for i in range(size)]).any(axis=0)
