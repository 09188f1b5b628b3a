"""RepeatPrevious (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box, Tuple

from rlseq.envs.popgym.card_game import CardGame, CardGameState, scored
from rlseq.envs.popgym.deck import Decks
from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError
from rlseq.fields import Range

Lag = Annotated[int, Range(1, 52_000)]
Offset = Annotated[int | None, Range(0, 52_000)]


class RepeatPrevious(CardGame):
    """Say the suit of the card shown `lag` steps ago.

    As in popgym the lag is k - 1: k counts the current card. Pass `lag` to set it directly.
    Each answer from step `lag` on pays +-1 over their number, so returns lie in [-1, 1]. The rest
    is as in `CardGame`.

    Raises InputError when no answer would ever be due.
    """

    def __init__(
        self, num_decks: Decks = 1, k: Lag = 4, lag: Offset = None, last_card: bool = False
    ):
        super().__init__(num_decks, last_card)
        self.lag = k - 1 if lag is None else lag
        if not 0 <= self.lag < self.max_steps:
            raise InputError(
                f"the lag must lie in 0 .. {self.max_steps - 1} with {self.num_cards} cards, "
                f"got {self.lag} (k = {k})"
            )
        self.pays(1 / (self.max_steps - self.lag))

    def pay(self, state: CardGameState, action: jax.Array) -> jax.Array:
        right = action == self.card(state, state.time - self.lag)
        earned = scored(right, self.unit)
        return jnp.where(state.time >= self.lag, earned, jnp.float32(0))

    def reveal(self, state: CardGameState) -> tuple[jax.Array, jax.Array]:
        """The last lag + 1 suits, 0 before the first, and the part of each still to come."""
        at = state.time - self.lag + jnp.arange(self.lag + 1, dtype=jnp.int32)
        return jnp.where(at >= 0, self.card(state, at), 0), 1 - self.fractions(state)

    def state_space(self, params: Any) -> Tuple:
        suits = MultiDiscrete([self.num_kinds] * (self.lag + 1))
        return Tuple((suits, Box(0.0, 1.0, (self.num_kinds,), jnp.float32)))
