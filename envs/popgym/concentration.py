"""Concentration, also known as memory or pairs (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

import math
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Discrete, Tuple

from rlseq.envs.base import Env
from rlseq.envs.popgym.deck import NUM_KINDS, deck_size, shuffled
from rlseq.envs.spaces import MultiDiscrete
from rlseq.fields import OneOf, Range
from rlseq.types import PyTree

DECK_TYPES = ("colors", "ranks")  # an odd number of cards of each suit cannot be paired
FewDecks = Annotated[int, Range(1, 20)]  # an observation shows all cards
DeckType = Annotated[str, OneOf(DECK_TYPES)]
NONE = -1  # no position


class ConcentrationState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    cards: jax.Array  # int8 [N], the value at each position
    face_up: jax.Array  # bool [N], pairs found so far
    turned: jax.Array  # int32 [2], positions of the cards turned in this try, NONE where none was


class Concentration(Env):
    """Turn cards two at a time to find all pairs of equal cards among N = 52 * num_decks cards.

    L = ceil(2 N - N / (2 N - 1)) steps at most. Two of a kind pay 2 / N and stay face up; two
    others, or one card twice, cost 2 / L and are turned back, after they were seen. Turning a
    card that is face up already costs 1 / L for each card of the try and ends the try. The last
    pair terminates, L steps truncate.
    obs int32 [N], the value at each position, or T where face down, T values by `deck_type`:
    "colors" (2) or "ranks" (13); action int32 [], a position.
    """

    can_truncate = True

    def __init__(self, num_decks: FewDecks = 1, deck_type: DeckType = "ranks"):
        n = deck_size(num_decks)
        self.num_decks = num_decks
        self.num_cards = n
        self.deck_type = deck_type
        self.num_kinds = NUM_KINDS[deck_type]
        self.max_steps = math.ceil(2 * n - n / (2 * n - 1))
        self.reward_range = (-2 / self.max_steps, 2 / n)

    def start(self, key: jax.Array) -> ConcentrationState:
        cards = shuffled(key, self.num_decks, self.deck_type)
        face_down = jnp.zeros(self.num_cards, bool)
        return ConcentrationState(jnp.int32(0), cards, face_down, jnp.full(2, NONE, jnp.int32))

    def advance(
        self, key: jax.Array, state: ConcentrationState, action: jax.Array
    ) -> tuple[ConcentrationState, jax.Array]:
        first = state.turned[0]
        is_second = (first != NONE) & (state.turned[1] == NONE) & ~state.face_up[first]
        again = state.face_up[action]
        alike = (state.cards[action] == state.cards[first]) & (action != first)
        pair = is_second & alike & ~again
        both = jnp.where(is_second, jnp.stack([first, action]), jnp.stack([action, NONE]))
        face_up = state.face_up | (pair & self._at(both))
        tried = 1 + is_second.astype(jnp.float32)
        lost = jnp.where(is_second | again, -tried / self.max_steps, 0.0)
        reward = jnp.where(pair, 2 / self.num_cards, lost)
        return ConcentrationState(state.time + 1, state.cards, face_up, both), reward

    def is_terminated(self, state: ConcentrationState, params: Any) -> jax.Array:
        return jnp.all(state.face_up)

    def observe(
        self, key: jax.Array, state: ConcentrationState, action: PyTree, params: Any
    ) -> jax.Array:
        seen = state.face_up | self._at(state.turned)
        return jnp.where(seen, state.cards.astype(jnp.int32), self.num_kinds)

    def action_space(self, params: Any) -> Discrete:
        return Discrete(self.num_cards)

    def observation_space(self, params: Any) -> MultiDiscrete:
        return MultiDiscrete([self.num_kinds + 1] * self.num_cards)

    def reveal(self, state: ConcentrationState) -> tuple[jax.Array, ...]:
        """The values, which lie face up, and the two positions turned last; T stands for none."""
        first, second = jnp.where(state.turned == NONE, self.num_kinds, state.turned)
        return state.cards.astype(jnp.int32), state.face_up.astype(jnp.int32), first, second

    def state_space(self, params: Any) -> Tuple:
        n = self.num_cards
        kinds, face_up = MultiDiscrete([self.num_kinds] * n), MultiDiscrete([2] * n)
        return Tuple((kinds, face_up, Discrete(n), Discrete(n)))

    def _at(self, pair: jax.Array) -> jax.Array:
        """bool [N], True at these two positions; a comparison is faster than a scatter."""
        positions = jnp.arange(self.num_cards, dtype=jnp.int32)
        return (positions == pair[0]) | (positions == pair[1])
