"""RepeatFirst (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box, Discrete, Tuple

from rlseq.envs.popgym.card_game import CardGame, CardGameState, scored
from rlseq.envs.popgym.deck import Decks


class RepeatFirst(CardGame):
    """Say the suit of the very first card at every step; each answer pays +-1 / (N - 1).

    The rest is as in `CardGame`; with `last_card` perfect play earns N / (N - 1).
    """

    def __init__(self, num_decks: Decks = 1, last_card: bool = False):
        super().__init__(num_decks, last_card)
        self.pays(1 / (self.num_cards - 1))

    def pay(self, state: CardGameState, action: jax.Array) -> jax.Array:
        right = action == state.cards[0].astype(action.dtype)
        return scored(right, self.unit)

    def reveal(self, state: CardGameState) -> tuple[jax.Array, jax.Array]:
        """The first suit, and the part of each suit that is still to come."""
        return self.card(state, jnp.int32(0)), 1 - self.fractions(state)

    def state_space(self, params: Any) -> Tuple:
        return Tuple((Discrete(self.num_kinds), Box(0.0, 1.0, (self.num_kinds,), jnp.float32)))
