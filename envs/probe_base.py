"""The base of probe environments: their known values."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Box, Discrete, Space

from rlseq.envs.base import Env


class Probe(Env):
    """An `Env` with known values. obs float32 [D], entries in [-1, 1], or an image."""

    reward_range = (-1.0, 1.0)
    needs_memory: bool = False
    optimal_return: float  # expected undiscounted return of the best policy
    memoryless_return: float  # of the best policy that sees only the current observation
    first_obs: np.ndarray  # [M, ...], every observation an episode can start with

    def value(self, gamma: float) -> np.ndarray:
        """Exact optimal V of each row of `first_obs`, all equally likely: float64 [M]."""
        raise NotImplementedError

    def action_space(self, params: Any) -> Space:
        return Discrete(2)

    def observation_space(self, params: Any) -> Box:
        return Box(-1.0, 1.0, self.first_obs.shape[1:], jnp.float32)
