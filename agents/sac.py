"""Recurrent soft actor-critic (Haarnoja et al. 1812.05905), with any core.

Actor and critics have a memory each, as one that both train learns worse (Ni et al. 2110.05038);
the twin critics share theirs. Sequences are replayed from the memories that acted. Continuous
actions are squashed by tanh; of discrete ones expectations are exact (Christodoulou 1910.07207).
"""

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.agents.networks import make_trunk
from rlseq.agents.observations import Observations
from rlseq.agents.replay_agent import ReplayAgent, ReplayAgentState
from rlseq.agents.rollout import ActionDistribution
from rlseq.agents.sac_learner import LearnerState, Networks, SACCarry, SoftLearner
from rlseq.agents.sac_networks import SoftActor, TwinCritic, make_actions
from rlseq.agents.sac_settings import SACConfig
from rlseq.agents.sequences import check_window, has_memory
from rlseq.cores import make_core
from rlseq.replay.starts import UniformStarts
from rlseq.replay.store import Replay
from rlseq.types import Carry, Metrics, Params, PyTree, Ring, VecEnv


class PolicyParams(NamedTuple):
    """All that acting needs; the critics' memory is brought up to date by acting too."""

    actor: Params
    critic: Params


class SAC(ReplayAgent):
    """The agent: configuration and networks; progress lives in `ReplayAgentState`.

    Raises InputError for hyper-parameters out of range, sequences that the replay cannot hold,
    actions that are neither one choice of several nor floats between bounds, and an encoder that
    does not fit the observations.
    """

    Config: ClassVar[type] = SACConfig

    def __init__(
        self,
        env: VecEnv,
        config: SACConfig,
        core: dict[str, Any],
        num_updates: int,
        world_model: dict[str, Any] | None = None,
    ):
        del num_updates, world_model  # nothing is scheduled; `needs_world_model` is False
        self.actions = make_actions(env.spec.action_space)
        observations = Observations(env, config.encoder_kind)
        trunks = [
            make_trunk(core, env.spec.obs_space, config.encoder_kind, config.encoder)
            for _ in range(2)
        ]
        memory = has_memory(make_core(**core))
        if not memory:
            config = replace(config, burn_in=0)
        parts = "agent.burn_in + agent.length + 1"
        check_window(config, config.window, parts, env.num_envs, env.spec.max_steps, memory=memory)
        starts: Any = UniformStarts()
        super().__init__(env, config, observations, Replay(config.capacity // env.num_envs, starts))
        head = (config.head, config.head)
        actor = SoftActor(*trunks[0], self.actions.actor_outputs, head)
        critic = TwinCritic(*trunks[1], self.actions.critic_outputs, head)
        self.learner = SoftLearner(config, actor, critic, self.actions, starts)

    def init_carry(self, batch: int) -> SACCarry:
        """The memories of `batch` fresh episodes."""
        return SACCarry(*(x.init_carry(batch) for x in (self.learner.actor, self.learner.critic)))

    def init_learner(self, key: Array) -> LearnerState:
        """Fresh networks; the target is the critic."""
        actor_key, critic_key = jax.random.split(key)
        carry, obs = self.init_carry(1), self.observations.nothing(1)
        first = jnp.ones(1, bool)
        action = [jnp.zeros((1, self.actions.inputs))] if self.actions.inputs else []
        actor = self.learner.actor.init(actor_key, carry.actor, obs, first, method="step")
        critic = self.learner.critic.init(
            critic_key, carry.critic, obs, first, *action, method="whole"
        )
        return self.learner.begin(actor, critic)

    def policy_params(self, state: ReplayAgentState) -> PolicyParams:
        """Those of actor and critics."""
        networks = state.learner.networks
        return PolicyParams(networks.actor, networks.critic)

    def parameters(self, state: ReplayAgentState) -> Networks:
        """What a warm start takes: actor, critics and temperature."""
        return state.learner.networks

    def with_copies(self, state: ReplayAgentState) -> ReplayAgentState:
        """The target is the critic."""
        learner: LearnerState = state.learner
        return state._replace(learner=learner._replace(target=learner.networks.critic))

    def policy(
        self, params: PolicyParams, carry: SACCarry, obs: Array, reset: Array
    ) -> tuple[SACCarry, ActionDistribution, Array]:
        """One step on flattened obs [B, ...]: (carry, distribution [B], the smaller value [B] of
        its likeliest action)."""
        step = partial(self.learner.actor.apply, method="step")
        actor, outputs = step(params.actor, carry.actor, obs, reset)
        step = partial(self.learner.critic.apply, method="step")
        critic, features = step(params.critic, carry.critic, obs, reset)
        policy = self.actions.policy(outputs)
        values = self.learner.values(params.critic)
        value = self.actions.taken(values, features, policy.mode()).min(0)
        return SACCarry(actor, critic), policy, value

    def _act(
        self, state: ReplayAgentState, carry: Carry, obs: Array, reset: Array, key: Array
    ) -> tuple[Carry, PyTree]:
        """Uniform actions in the warm-up, and then the policy's."""
        act_key, uniform_key = jax.random.split(key)
        carry, action = super()._act(state, carry, obs, reset, act_key)
        keys = jax.random.split(uniform_key, reset.shape[0])
        uniform = jax.vmap(self.env.spec.action_space.sample)(keys).astype(action.dtype)
        return carry, jnp.where(state.updates < self.warmup_rounds, uniform, action)

    def learn_once(
        self, ring: Ring, old: tuple[LearnerState, PyTree], key: Array
    ) -> tuple[tuple[LearnerState, PyTree], Metrics]:
        """One update on sequences drawn from the replay."""
        return self.learner.learn_once(ring, old, key)
