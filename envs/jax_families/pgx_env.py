"""Pgx's games for one player."""

import importlib
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box, Discrete

from rlseq.envs.gymnax_adapter import default_rules
from rlseq.envs.jax_families.adapter import Outcome, PackageEnv
from rlseq.envs.jax_families.pgx import NAMES
from rlseq.fields import Episode, OneOf


class Pgx(PackageEnv):
    """A game of Pgx; obs float32 [H, W, C] of zeros and ones, which the package has as bools.

    Actions, rewards and ends are the package's: MinAtar's are sticky with probability 0.1, and a
    move that changes nothing on the board of 2048 is illegal, costs 1 and ends the game. It knows
    no limit of steps; here an episode is cut after `max_steps`, for which 10,000 is ours.
    """

    mean_length = 50  # ours

    def __init__(self, name: Annotated[str, OneOf(NAMES)], max_steps: Episode = 10_000):
        with default_rules():
            self.package: Any = importlib.import_module("pgx").make(name)
        self.title = name
        self.max_steps = max_steps

    @property
    def name(self) -> str:
        return self.title

    def reset_with(self, key: jax.Array) -> tuple[jax.Array, Any]:
        inner = self.package.init(key)
        return inner.observation.astype(jnp.float32), inner

    def step_with(self, key: jax.Array, inner: Any, action: jax.Array) -> Outcome:
        inner = self.package.step(inner, action, key)
        obs = inner.observation.astype(jnp.float32)
        return Outcome(obs, inner, inner.rewards[0], inner.terminated, inner.truncated)

    def action_space(self, params: Any) -> Discrete:
        return Discrete(self.package.num_actions)

    def observation_space(self, params: Any) -> Box:
        return Box(0.0, 1.0, self.package.observation_shape, jnp.float32)
