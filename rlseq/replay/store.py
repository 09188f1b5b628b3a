"""A replay: a ring of rows and a sampler that knows each of them."""

from typing import NamedTuple

from jax import Array

from rlseq.replay.ring import allowed_starts, append, init_ring, next_index, sequences
from rlseq.replay.samplers import Purpose, Sampler
from rlseq.rl.devices import split_batch
from rlseq.types import PyTree, Ring


class ReplayState(NamedTuple):
    """Rows of experience, and what the sampler knows of them."""

    ring: Ring  # rows have leaves [E, L, ...]
    sampler: PyTree  # leaves [E, L, ...]


class Replay:
    """Configuration of a replay of any rows; the experience is in `ReplayState`."""

    def __init__(self, length: int, sampler: Sampler):
        self.length = length  # rows an environment
        self.sampler = sampler

    def init(self, like: PyTree) -> ReplayState:
        """Nothing; `like` is a row, leaves [E, ...]."""
        ring = init_ring(like, self.length)
        return ReplayState(ring, self.sampler.init(ring.written.shape[0], self.length))

    def add(self, state: ReplayState, row: PyTree, mask: Array | None = None) -> ReplayState:
        """One row, leaves [E, ...], where `mask` bool [E] (default: everywhere)."""
        index = next_index(state.ring, mask)
        sampler = self.sampler.overwrite(state.sampler, index)
        return ReplayState(append(state.ring, row, mask), sampler)

    def sample(
        self, ring: Ring, sampler: PyTree, purpose: Purpose, count: int, length: int, key: Array
    ) -> tuple[PyTree, PyTree]:
        """(sampler state, `count` sequences of rows [length, count, ...]).

        Of the replay only the sampler's state changes, so that loops need not carry the ring.
        """
        allowed = allowed_starts(ring, length)
        sampler, starts = self.sampler.sample(sampler, purpose, allowed, count, key)
        return sampler, split_batch(sequences(ring, starts, length), 1)
