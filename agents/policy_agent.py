"""What every agent shares that acts by a policy of flattened observations."""

from functools import partial
from typing import Any, ClassVar

import jax
from jax import Array

from rlseq.agents.acting import to_env
from rlseq.agents.observations import Observations
from rlseq.agents.rollout import ActionDistribution
from rlseq.types import Carry, Params, PyTree, VecEnv


class PolicyAgent:
    """Acting, sizes and flags of `rlseq.types.Agent`; `OnPolicyAgent` and `ReplayAgent` train.

    A subclass has `Config`, a frozen dataclass with `num_steps` (those of every environment in one
    update), and defines `policy`.
    """

    Config: ClassVar[type]
    needs_world_model: ClassVar[bool] = False
    steps_environment: ClassVar[bool] = True

    def __init__(self, env: VecEnv, config: Any, observations: Observations):
        self.config = config
        self.observations = observations
        self.env = observations.wrap(env)
        self.steps_per_update = self.update_steps(config, env.num_envs)

    @staticmethod
    def update_steps(config: Any, num_envs: int) -> int:
        """`num_steps` in every environment."""
        return num_envs * config.num_steps

    def policy(
        self, params: Params, carry: Carry, obs: Array, reset: Array
    ) -> tuple[Carry, ActionDistribution, Array]:
        """One step on flattened obs [B, ...]: (carry, distribution [B], value [B])."""
        raise NotImplementedError

    @partial(jax.jit, static_argnums=0, static_argnames="greedy")
    def act(
        self,
        params: Params,
        carry: Carry,
        obs: PyTree,
        reset: Array,
        key: Array,
        *,
        greedy: bool = False,
    ) -> tuple[Carry, PyTree]:
        """Actions for obs [B, ...], reset bool [B]: samples, or the modes when greedy."""
        obs = self.observations.flatten(obs)
        carry, distribution, _ = self.policy(params, carry, obs, reset)
        action = distribution.mode() if greedy else distribution.sample(key)
        return carry, to_env(self.env, action)
