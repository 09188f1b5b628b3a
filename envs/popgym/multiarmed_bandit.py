"""MultiarmedBandit (POPGym, Morad et al. 2303.01859; popgym 1.0.7)."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box, Discrete

from rlseq.envs.base import Env
from rlseq.fields import Episode, Range
from rlseq.types import PyTree

Arms = Annotated[int, Range(1, 65_536)]


class MultiarmedBanditState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    chances: jax.Array  # float32 [num_arms], how likely each arm pays out, uniform in [0, 1)
    paid_out: jax.Array  # bool [], the last arm did


class MultiarmedBandit(Env):
    """Find the best of num_arms arms, drawn anew for each episode of max_steps steps.

    A step pays 1 / max_steps when its arm pays out, else -1 / max_steps; max_steps steps
    truncate. obs int32 [] 1 after a payout, else 0; action int32 [], an arm.
    """

    can_truncate = True

    def __init__(self, num_arms: Arms = 10, max_steps: Episode = 200):
        self.num_arms = num_arms
        self.max_steps = max_steps
        self.reward_range = (-1 / max_steps, 1 / max_steps)

    def start(self, key: jax.Array) -> MultiarmedBanditState:
        chances = jax.random.uniform(key, (self.num_arms,), jnp.float32)
        return MultiarmedBanditState(jnp.int32(0), chances, jnp.zeros((), bool))

    def advance(
        self, key: jax.Array, state: MultiarmedBanditState, action: jax.Array
    ) -> tuple[MultiarmedBanditState, jax.Array]:
        paid_out = jax.random.uniform(key, (), jnp.float32) < state.chances[action]
        scale = jnp.float32(1 / self.max_steps)
        reward = jnp.where(paid_out, scale, -scale)
        return MultiarmedBanditState(state.time + 1, state.chances, paid_out), reward

    def is_terminated(self, state: MultiarmedBanditState, params: Any) -> jax.Array:
        return jnp.zeros((), bool)

    def observe(
        self, key: jax.Array, state: MultiarmedBanditState, action: PyTree, params: Any
    ) -> jax.Array:
        return state.paid_out.astype(jnp.int32)

    def action_space(self, params: Any) -> Discrete:
        return Discrete(self.num_arms)

    def observation_space(self, params: Any) -> Discrete:
        return Discrete(2)

    def reveal(self, state: MultiarmedBanditState) -> jax.Array:
        """The chance of each arm."""
        return state.chances

    def state_space(self, params: Any) -> Box:
        return Box(0.0, 1.0, (self.num_arms,), jnp.float32)
