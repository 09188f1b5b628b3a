"""HigherLower (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box, Discrete

from rlseq.envs.popgym.card_game import CardGame, CardGameState, scored

HIGHER = 0


class HigherLower(CardGame):
    """Guess whether the next card ranks higher (action 0) or lower (1) than the one in sight.

    A guess pays +-1 / N, nothing where the ranks are equal. The rest is as in `CardGame`; a guess
    about nothing, on the last card, pays nothing either.
    """

    deck_type = "ranks"

    def pay(self, state: CardGameState, action: jax.Array) -> jax.Array:
        now, after = self.card(state, state.time), self.card(state, state.time + 1)
        right = (after > now) == (action == HIGHER)
        return jnp.where(after == now, jnp.float32(0), scored(right, self.unit))

    def action_space(self, params: Any) -> Discrete:
        return Discrete(2)

    def reveal(self, state: CardGameState) -> jax.Array:
        """The part of each rank that was shown; which one is in sight, popgym leaves out."""
        return self.fractions(state)

    def state_space(self, params: Any) -> Box:
        return Box(0.0, 1.0, (self.num_kinds,), jnp.float32)
