"""Where sequences for a learner of values begin: uniform or prioritised draws with replacement.

No draw takes a random number a row: one a sequence does.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.replay.ring import allowed_starts, ring_length, write_at
from rlseq.types import PyTree, Ring

BLOCK = 256  # ours: priorities that are summed together


class Starts(NamedTuple):
    """The first rows of B sequences."""

    env: Array  # [B] int32
    index: Array  # [B] int32, in the ring of that environment
    weight: Array  # [B] float32, importance of each in the loss


class StartSampler(Protocol):
    """Configuration; what it knows of the rows is its state."""

    def init(self, num_envs: int, length: int) -> PyTree:
        """Of an empty ring; leaves [E, ...]."""
        ...

    def overwrite(self, state: PyTree, index: Array) -> PyTree:
        """New rows stand at `index` int32 [E]; where it is L, none does."""
        ...

    def draw(self, state: PyTree, ring: Ring, length: int, count: int, key: Array) -> Starts:
        """`count` sequences of `length` rows, all of them written."""
        ...

    def update(self, state: PyTree, starts: Starts, priority: Array) -> PyTree:
        """The sequences that were drawn have the priorities [B] now."""
        ...


@dataclass(frozen=True)
class UniformStarts:
    """Every row is as likely from which on so many are written."""

    def init(self, num_envs: int, length: int) -> tuple[()]:
        """Nothing is known of rows."""
        del num_envs, length
        return ()

    def overwrite(self, state: tuple[()], index: Array) -> tuple[()]:
        """Nothing changes."""
        del index
        return state

    def draw(self, state: tuple[()], ring: Ring, length: int, count: int, key: Array) -> Starts:
        """See `StartSampler`."""
        del state
        size = ring_length(ring)
        held = jnp.minimum(ring.written, size)
        allowed = jnp.maximum(held - length + 1, 0)
        last = jnp.cumsum(allowed)
        number = jax.random.randint(key, (count,), 0, jnp.maximum(last[-1], 1), jnp.int32)
        env = (number[:, None] >= last[None]).sum(-1, dtype=jnp.int32)
        age = number - (last - allowed)[env]
        index = ((ring.written - held)[env] + age) % size
        return Starts(env, index, jnp.ones(count, jnp.float32))

    def update(self, state: tuple[()], starts: Starts, priority: Array) -> tuple[()]:
        """Nothing changes."""
        del starts, priority
        return state


class Priorities(NamedTuple):
    """Of each row as a start, to the power that they are drawn by."""

    rows: Array  # [E, L] float32
    largest: Array  # [E] float32, seen so far: what new rows have


@dataclass(frozen=True)
class PrioritisedStarts:
    """Rows are drawn by priority^alpha (Schaul et al. 1511.05952, section 3.3, proportional).

    `beta` is the power of the importance weights, which are divided by their largest.
    """

    alpha: float
    beta: float

    def init(self, num_envs: int, length: int) -> Priorities:
        """No rows; the first ones have priority 1."""
        rows = jnp.zeros((num_envs, length), jnp.float32)
        return Priorities(rows, jnp.ones(num_envs, jnp.float32))

    def overwrite(self, state: Priorities, index: Array) -> Priorities:
        """New rows are as urgent as the most urgent so far."""
        return state._replace(rows=write_at(state.rows, index, state.largest))

    def draw(self, state: Priorities, ring: Ring, length: int, count: int, key: Array) -> Starts:
        """See `StartSampler`; one sequence from each of `count` equal parts of all priority."""
        allowed = allowed_starts(ring, length)
        share = jnp.where(allowed, state.rows, 0).reshape(-1)
        place, total = draw_proportional(key, share, count)
        chance = share[place] / jnp.maximum(total, 1e-30)
        weight = (
            jnp.maximum(chance, 1e-30) * allowed.sum(dtype=jnp.int32).astype(jnp.float32)
        ) ** -self.beta
        size = ring_length(ring)
        return Starts(place // size, place % size, weight / weight.max())

    def update(self, state: Priorities, starts: Starts, priority: Array) -> Priorities:
        """See `StartSampler`."""
        powered = jnp.maximum(priority, 1e-6) ** self.alpha
        rows = state.rows.at[starts.env, starts.index].set(powered)
        return Priorities(rows, jnp.maximum(state.largest, powered.max()))


def draw_proportional(key: Array, share: Array, count: int) -> tuple[Array, Array]:
    """(int32 [count] indices of share [N] >= 0, their sum): one from each of equal parts of it.

    Sums of blocks first, then within one: cheaper than a sum over all of which each is stored.
    """
    blocks = jnp.pad(share, (0, -share.size % BLOCK)).reshape(-1, BLOCK)
    until = jnp.cumsum(blocks.sum(1))
    parts = jnp.arange(count, dtype=jnp.float32) + jax.random.uniform(key, (count,), jnp.float32)
    wanted = parts * (until[-1] / count)
    block = jnp.minimum((wanted[:, None] >= until[None]).sum(1, dtype=jnp.int32), len(until) - 1)
    inside = blocks[block]
    rest = jnp.maximum(wanted - (until[block] - inside.sum(1)), 0)
    above = jnp.cumsum(inside, axis=1) > rest[:, None]
    # Where rounding leaves nothing above, the last of the block that can be drawn.
    last = BLOCK - 1 - jnp.argmax(jnp.flip(inside > 0, 1), axis=1).astype(jnp.int32)
    found = jnp.where(above.any(1), jnp.argmax(above, axis=1).astype(jnp.int32), last)
    return jnp.minimum(block * BLOCK + found, share.size - 1), until[-1]
