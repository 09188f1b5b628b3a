"""RepeatFirst (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

import jax

from rlseq.envs.popgym.card_game import CardGame, CardGameState, scored


class RepeatFirst(CardGame):
    """Say the suit of the very first card at every step; each answer pays +-1 / (N - 1).

    The rest is as in `CardGame`; with `last_card` perfect play earns N / (N - 1).
    """

    def pay(self, state: CardGameState, action: jax.Array) -> jax.Array:
        right = action == state.cards[0].astype(action.dtype)
        return scored(right, 1 / (self.num_cards - 1))
