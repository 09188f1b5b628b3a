"""Autoencode (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box, Discrete, Tuple

from rlseq.envs.popgym.card_game import CardGame, CardGameState, scored
from rlseq.envs.popgym.deck import Decks
from rlseq.envs.spaces import MultiDiscrete
from rlseq.types import PyTree

PLAY, WATCH = 0, 1


class Autoencode(CardGame):
    """Watch a deck of N = 52 * num_decks cards, then say their suits backwards.

    N - 1 steps of watching pay nothing, N of playing +-1 / N each. obs is a pair of int32 []:
    WATCH (1) or PLAY (0), and the suit in sight. The last card comes with PLAY already; after it
    the suit is always 0. action int32 [], a suit.
    """

    def __init__(self, num_decks: Decks = 1):
        super().__init__(num_decks)
        self.max_steps = 2 * self.num_cards - 1

    def pay(self, state: CardGameState, action: jax.Array) -> jax.Array:
        right = action == self.card(state, self.max_steps - 1 - state.time)
        earned = scored(right, self.unit)
        return jnp.where(self.mode(state) == PLAY, earned, jnp.float32(0))

    def observe(
        self, key: jax.Array, state: CardGameState, action: PyTree, params: Any
    ) -> tuple[jax.Array, jax.Array]:
        in_sight = state.time < self.num_cards
        return self.mode(state), jnp.where(in_sight, self.card(state, state.time), 0)

    def observation_space(self, params: Any) -> Tuple:
        return Tuple((Discrete(2), Discrete(self.num_kinds)))

    def reveal(self, state: CardGameState) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The deck from its bottom up, the mode, and the part of it that is left to recall."""
        held = jnp.minimum(state.time + 1, self.max_steps - state.time)
        part = held.astype(jnp.float32)[None] / self.num_cards
        return state.cards[::-1].astype(jnp.int32), self.mode(state), part

    def state_space(self, params: Any) -> Tuple:
        deck = MultiDiscrete([self.num_kinds] * self.num_cards)
        return Tuple((deck, Discrete(2), Box(0.0, 1.0, (1,), jnp.float32)))

    def mode(self, state: CardGameState) -> jax.Array:
        """int32 []: WATCH until the last card is shown."""
        return jnp.where(state.time < self.num_cards - 1, jnp.int32(WATCH), jnp.int32(PLAY))
