"""CountRecall (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box, Discrete, Tuple

from rlseq.envs.base import Env
from rlseq.envs.popgym.card_game import dealt
from rlseq.envs.popgym.deck import NUM_KINDS, Decks, DeckType, kinds, shuffled
from rlseq.envs.spaces import MultiDiscrete
from rlseq.types import PyTree


class CountRecallState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    values: jax.Array  # int8 [N], kinds of the dealt cards in order; card `time` is shown
    queries: jax.Array  # int8 [N], kinds asked for, from a second deck
    counts: jax.Array  # int32 [kinds], value cards shown so far, the current one included


class CountRecall(Env):
    """Say how many cards of the queried kind were dealt so far, the one now shown included.

    Two decks of N = 52 * num_decks cards, one dealt and one asked from; cards differ by
    `deck_type`: "colors", "suits" or "ranks" (T = 2, 4, 13 kinds). N - 1 steps, each pays
    +-1 / (N - 1). obs int32 [2] (value, query), action int32 [] in 0 .. N / T.
    `old_action_space` leaves out the largest answer, as popgym did before 1.0.7: perfect play
    is then below 1.
    """

    def __init__(
        self, num_decks: Decks = 1, deck_type: DeckType = "colors", old_action_space: bool = False
    ):
        num_cards = len(kinds(num_decks, deck_type))
        self.num_decks = num_decks
        self.deck_type = deck_type
        self.num_kinds = NUM_KINDS[deck_type]
        self.per_kind = num_cards // self.num_kinds
        self.num_answers = self.per_kind + (not old_action_space)
        self.max_steps = num_cards - 1
        self.reward_range = (-1 / self.max_steps, 1 / self.max_steps)

    def start(self, key: jax.Array) -> CountRecallState:
        value_key, query_key = jax.random.split(key)
        values = shuffled(value_key, self.num_decks, self.deck_type)
        queries = shuffled(query_key, self.num_decks, self.deck_type)
        return CountRecallState(jnp.int32(0), values, queries, self._one(values[0]))

    def advance(
        self, key: jax.Array, state: CountRecallState, action: jax.Array
    ) -> tuple[CountRecallState, jax.Array]:
        scale = 1 / self.max_steps
        right = action == state.counts[state.queries[state.time]]
        reward = jnp.where(right, jnp.float32(scale), jnp.float32(-scale))
        time = state.time + 1
        counts = state.counts + self._one(state.values[time])
        return state._replace(time=time, counts=counts), reward

    def observe(
        self, key: jax.Array, state: CountRecallState, action: PyTree, params: Any
    ) -> jax.Array:
        return self._shown(state)

    def action_space(self, params: Any) -> Discrete:
        return Discrete(self.num_answers)

    def observation_space(self, params: Any) -> MultiDiscrete:
        return MultiDiscrete([self.num_kinds] * 2)

    def reveal(self, state: CountRecallState) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The part of each kind that was dealt, the same of queries, and the observation."""
        queries = dealt(state.queries, state.time, self.num_kinds)
        dealt_part = state.counts.astype(jnp.float32) / self.per_kind
        asked_part = queries.astype(jnp.float32) / self.per_kind
        return dealt_part, asked_part, self._shown(state)

    def state_space(self, params: Any) -> Tuple:
        part = Box(0.0, 1.0, (self.num_kinds,), jnp.float32)
        return Tuple((part, part, self.observation_space(params)))

    def _shown(self, state: CountRecallState) -> jax.Array:
        shown = jnp.stack([state.values[state.time], state.queries[state.time]])
        return shown.astype(jnp.int32)

    def _one(self, kind: jax.Array) -> jax.Array:
        return jax.nn.one_hot(kind, self.num_kinds, dtype=jnp.int32)
