"""The replay: a ring of experience on the device, in E lanes, one an environment."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.types import Ring, Sequences


class Replay(NamedTuple):
    """Rows of experience, and how often each began a sequence."""

    ring: Ring  # of Sequences, leaves [E, L, ...]
    model_draws: Array  # [E, L] int32, for the world model
    policy_draws: Array  # [E, L] int32, for imagination

    @property
    def lanes(self) -> int:
        """E."""
        return self.model_draws.shape[0]

    @property
    def length(self) -> int:
        """L, rows that a lane holds."""
        return self.model_draws.shape[1]


def init_replay(like: Sequences, length: int) -> Replay:
    """An empty replay of `length` rows a lane; `like` has leaves [E, ...]."""
    rows = jax.tree.map(lambda x: jnp.zeros((x.shape[0], length, *x.shape[1:]), x.dtype), like)
    lanes = like.reward.shape[0]
    draws = jnp.zeros((lanes, length), jnp.int32)
    return Replay(Ring(rows, jnp.zeros(lanes, jnp.int32)), draws, draws)


def add(replay: Replay, row: Sequences, valid: Array | None = None) -> Replay:
    """Write leaves [E, ...] over the oldest rows, where `valid` bool [E] (default: everywhere)."""
    ring = replay.ring
    if valid is None:
        valid = jnp.ones(replay.lanes, bool)
    lane = jnp.arange(replay.lanes, dtype=jnp.int32)
    # Out of bounds is dropped: rows that are not valid are not even read.
    place = jnp.where(valid, ring.written % replay.length, replay.length)

    def write(rows: Array, new: Array | int) -> Array:
        return rows.at[lane, place].set(new, mode="drop")

    return Replay(
        Ring(jax.tree.map(write, ring.rows, row), ring.written + valid.astype(jnp.int32)),
        write(replay.model_draws, 0),
        write(replay.policy_draws, 0),
    )


def allowed_starts(replay: Replay, length: int) -> Array:
    """bool [E, L]: a window of `length` rows from here is written and not cut by the head."""
    held = jnp.minimum(replay.ring.written, replay.length)
    oldest = (replay.ring.written - held) % replay.length
    place = jnp.arange(replay.length, dtype=jnp.int32)
    age = (place[None] - oldest[:, None]) % replay.length
    return age + length <= held[:, None]


def windows(replay: Replay, starts: Array, length: int) -> Sequences:
    """Rows [length, B, ...] from places int32 [B] of the flattened [E, L]."""
    lane, first = starts // replay.length, starts % replay.length
    step = jnp.arange(length, dtype=jnp.int32)
    place = (first[None] + step[:, None]) % replay.length
    lanes = jnp.broadcast_to(lane[None], place.shape)
    return jax.tree.map(lambda rows: rows[lanes, place], replay.ring.rows)


def count(draws: Array, starts: Array) -> Array:
    """Counts [E, L] with one more at each of the places [B] of the flattened counts."""
    return draws.reshape(-1).at[starts].add(1).reshape(draws.shape)
