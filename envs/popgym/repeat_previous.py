"""RepeatPrevious (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Discrete

from rlseq.envs.base import Env
from rlseq.envs.popgym.deck import deck_size, shuffled
from rlseq.errors import InputError
from rlseq.types import PyTree


class RepeatPreviousState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    suits: jax.Array  # int8 [N], in the order of dealing; card `time` is shown


class RepeatPrevious(Env):
    """Say the suit of the card shown `lag` steps ago; N - 1 steps over N = 52 * num_decks cards.

    As in popgym the lag is k - 1: k counts the current card. Pass `lag` to set it directly.
    Each answer from step `lag` on pays +-1 / (N - 1 - lag), so returns lie in [-1, 1].
    obs int32 [] suit, action int32 [] suit.

    Raises InputError when num_decks or k is below 1 or no answer would ever be due.
    """

    def __init__(self, num_decks: int = 1, k: int = 4, lag: int | None = None):
        num_cards = deck_size(num_decks)
        if k < 1:
            raise InputError(f"k must be at least 1 (the current card), got {k}")
        self.num_decks = num_decks
        self.lag = k - 1 if lag is None else lag
        self.max_steps = num_cards - 1
        if not 0 <= self.lag < self.max_steps:
            raise InputError(
                f"the lag must lie in 0 .. {self.max_steps - 1} with {num_cards} cards, "
                f"got {self.lag} (k = {k})"
            )

    def start(self, key: jax.Array) -> RepeatPreviousState:
        return RepeatPreviousState(jnp.int32(0), shuffled(key, self.num_decks, "suits"))

    def advance(
        self, key: jax.Array, state: RepeatPreviousState, action: jax.Array
    ) -> tuple[RepeatPreviousState, jax.Array]:
        due = state.time >= self.lag
        target = state.suits[jnp.maximum(state.time - self.lag, 0)].astype(jnp.int32)
        scale = 1 / (self.max_steps - self.lag)
        reward = jnp.where(due, jnp.where(action == target, scale, -scale), 0.0)
        return state._replace(time=state.time + 1), reward

    def observe(
        self, key: jax.Array, state: RepeatPreviousState, action: PyTree, params: Any
    ) -> jax.Array:
        return state.suits[state.time].astype(jnp.int32)

    def action_space(self, params: Any) -> Discrete:
        return Discrete(4)

    def observation_space(self, params: Any) -> Discrete:
        return Discrete(4)
