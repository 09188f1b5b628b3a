"""A MinAtar game (Young and Tian, 1903.03176) as gymnax has it, seen whole or in part."""

from collections.abc import Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from rlseq.envs.gymnax_adapter import Adapted
from rlseq.envs.gymnax_family import FAMILY
from rlseq.envs.minatar import MOTION
from rlseq.errors import InputError
from rlseq.fields import Length, OneOf, Range, Share
from rlseq.types import PyTree


class MinAtar(Adapted):
    """gymnax's game with some channels always dark, and all of them with some probability.

    obs float32 [10, 10, C] of zeros and ones; action int32 [], the game's minimal set. Dynamics,
    rewards, ends and the limit of 1000 steps (Freeway: 2500) are gymnax's. The hidden state that
    `observe="state"` shows is the whole image.

    Raises InputError for a channel that does not exist.
    """

    def __init__(
        self,
        game: Annotated[str, OneOf(tuple(MOTION))],
        masked: Annotated[Sequence[int], Length(0, 64), Range(0, 63)] = (),
        flicker: Share = 0.0,
        max_steps: Annotated[int | None, Range(1, 1_000_000)] = None,
    ):
        limit = {} if max_steps is None else {"max_steps_in_episode": max_steps}
        super().__init__(*FAMILY.make(f"{game}-MinAtar", **limit))
        image: Any = super().observation_space(self.params)
        channels = image.shape[-1]
        if not all(0 <= channel < channels for channel in masked):
            raise InputError(f"masked takes channels in 0 .. {channels - 1}, got {tuple(masked)}")
        self.shown = ~np.isin(np.arange(channels), masked)
        self.flicker = flicker

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, Any]:
        game_key, coin_key = jax.random.split(key)
        obs, state = super().reset_env(game_key, params)
        return self._seen(coin_key, obs), state

    def step_env(
        self, key: jax.Array, state: Any, action: PyTree, params: Any
    ) -> tuple[jax.Array, Any, jax.Array, jax.Array, dict[str, Any]]:
        game_key, coin_key = jax.random.split(key)
        obs, state, reward, ended, info = super().step_env(game_key, state, action, params)
        return self._seen(coin_key, obs), state, reward, ended, info

    def observe(self, key: jax.Array, state: Any, action: PyTree, params: Any) -> jax.Array:
        return self._seen(key, super().observe(key, state, action, params))

    def reveal(self, state: Any) -> jax.Array:
        return super().observe(jax.random.key(0), state, None, self.params)

    def state_space(self, params: Any) -> spaces.Space:
        return self.observation_space(params)

    def _seen(self, key: jax.Array, image: jax.Array) -> jax.Array:
        light = ~jax.random.bernoulli(key, jnp.float32(self.flicker))
        return jnp.where(light & self.shown.reshape(1, 1, -1), image, 0)
