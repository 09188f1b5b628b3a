"""RepeatFirst (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Discrete

from rlseq.envs.base import Env
from rlseq.envs.popgym.deck import deck_size, shuffled
from rlseq.types import PyTree


class RepeatFirstState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    suits: jax.Array  # int8 [N], in the order of dealing; card `time` is shown


class RepeatFirst(Env):
    """Say the suit of the very first card at every step; N - 1 steps, N = 52 * num_decks cards.

    Each answer pays +-1 / (N - 1). obs int32 [] suit, action int32 [] suit.

    Raises InputError when num_decks is below 1.
    """

    def __init__(self, num_decks: int = 1):
        self.num_decks = num_decks
        self.max_steps = deck_size(num_decks) - 1

    def start(self, key: jax.Array) -> RepeatFirstState:
        return RepeatFirstState(jnp.int32(0), shuffled(key, self.num_decks, "suits"))

    def advance(
        self, key: jax.Array, state: RepeatFirstState, action: jax.Array
    ) -> tuple[RepeatFirstState, jax.Array]:
        scale = 1 / self.max_steps
        right = action == state.suits[0].astype(jnp.int32)
        reward = jnp.where(right, jnp.float32(scale), jnp.float32(-scale))
        return state._replace(time=state.time + 1), reward

    def observe(
        self, key: jax.Array, state: RepeatFirstState, action: PyTree, params: Any
    ) -> jax.Array:
        return state.suits[state.time].astype(jnp.int32)

    def action_space(self, params: Any) -> Discrete:
        return Discrete(4)

    def observation_space(self, params: Any) -> Discrete:
        return Discrete(4)
