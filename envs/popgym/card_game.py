"""What the games with one deck share: the cards are dealt one a step, each asks for an answer."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Discrete

from rlseq.envs.base import Env
from rlseq.envs.popgym.deck import NUM_KINDS, Decks, deck_size, shuffled
from rlseq.types import PyTree


class CardGameState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    cards: jax.Array  # int8 [N], kinds in the order of dealing; card `time` is shown


class CardGame(Env):
    """N = 52 * num_decks cards of one kind each (`deck_type`); N - 1 steps.

    The last card is shown but asks for nothing; with `last_card` it asks too, and there are N
    steps, as in older JAX ports. A subclass says what an answer pays. obs int32 [], the kind of
    the card in sight; action int32 [].
    """

    deck_type = "suits"

    def __init__(self, num_decks: Decks = 1, last_card: bool = False):
        self.num_decks = num_decks
        self.num_cards = deck_size(num_decks)
        self.num_kinds = NUM_KINDS[self.deck_type]
        self.max_steps = self.num_cards - (not last_card)
        self.pays(1 / self.num_cards)

    def pays(self, unit: float) -> None:
        """A right answer earns `unit` and a wrong one costs it."""
        self.unit = unit
        self.reward_range = (-unit, unit)

    def pay(self, state: CardGameState, action: jax.Array) -> jax.Array:
        """float32 []: what this answer earns."""
        raise NotImplementedError

    def start(self, key: jax.Array) -> CardGameState:
        return CardGameState(jnp.int32(0), shuffled(key, self.num_decks, self.deck_type))

    def advance(
        self, key: jax.Array, state: CardGameState, action: jax.Array
    ) -> tuple[CardGameState, jax.Array]:
        return state._replace(time=state.time + 1), self.pay(state, action)

    def observe(self, key: jax.Array, state: CardGameState, action: PyTree, params: Any) -> PyTree:
        return self.card(state, state.time)

    def action_space(self, params: Any) -> Discrete:
        return Discrete(self.num_kinds)

    def observation_space(self, params: Any) -> Any:
        return Discrete(self.num_kinds)

    def fractions(self, state: CardGameState) -> jax.Array:
        """float32 [kinds]: the part of each kind's cards that was shown so far."""
        shown = dealt(state.cards, state.time, self.num_kinds)
        return shown.astype(jnp.float32) / (self.num_cards // self.num_kinds)

    def card(self, state: CardGameState, at: jax.Array) -> jax.Array:
        """int32, the kinds of the cards at these positions; beyond the ends, the nearest one."""
        return state.cards[jnp.clip(at, 0, self.num_cards - 1)].astype(jnp.int32)


def scored(right: jax.Array, scale: float) -> jax.Array:
    """float32 []: +scale for a right answer, -scale for a wrong one."""
    return jnp.where(right, jnp.float32(scale), jnp.float32(-scale))


def dealt(cards: jax.Array, time: jax.Array, num_kinds: int) -> jax.Array:
    """int32 [num_kinds]: how many cards of each kind were shown up to step `time`."""
    seen = jnp.arange(len(cards), dtype=jnp.int32) <= time
    kind = jnp.arange(num_kinds, dtype=cards.dtype)
    return jnp.sum((cards[None] == kind[:, None]) & seen[None], axis=1, dtype=jnp.int32)
