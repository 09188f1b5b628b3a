"""Recurrent PPO (Schulman et al. 1707.06347) in one jitted program, with any sequence core.

Minibatches are whole sequences of some of the environments, replayed from the carry that each had
at the rollout's start, so the gradient flows through all of the rollout.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import optax
from jax import Array

from rlseq import fields
from rlseq.agents.networks import ENCODERS, make_network
from rlseq.agents.observations import Observations
from rlseq.agents.on_policy import OnPolicyAgent, OnPolicyState, PolicyParams, check_sizes
from rlseq.agents.ppo_update import LossSettings, Minibatches, improve
from rlseq.agents.rollout import Trajectory, advantages
from rlseq.fields import (
    Clip,
    Epochs,
    GradNorm,
    LearningRate,
    MinibatchCount,
    OneOf,
    Range,
    Rollout,
    Share,
    Warmup,
    Weight,
    Width,
)
from rlseq.nn.distributions import Distribution
from rlseq.nn.normalisers import RunningMoments
from rlseq.rl.losses import standardise
from rlseq.rl.schedules import SCHEDULES, learning_rate
from rlseq.types import Carry, Metrics, Params, VecEnv


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters. Sources: [P] PPO 1707.06347 table 3, [A] Andrychowicz et al. 2006.05990,
    [S] S5-RL 2303.03982 appendix (POPGym), [O] ours, chosen on RepeatPreviousEasy."""

    num_steps: Rollout = 128  # [P] length of a rollout; the span of backpropagation through time
    epochs: Epochs = 4  # [O] passes over a rollout; [S] 30
    minibatches: MinibatchCount = 8  # [S] must divide the number of environments
    accumulate: MinibatchCount = 1  # [O] parts of a minibatch, one after another: less memory
    lr: LearningRate = 1e-3  # [O] peak learning rate; [S] 5e-5
    schedule: Annotated[str, OneOf(SCHEDULES)] = "linear"  # [A] over the whole run
    warmup: Warmup = 0  # [O] optimiser steps of linear warm-up
    gamma: Share = 0.99  # [P]
    lam: Share = 0.95  # [P] GAE's lambda; [S] 1.0
    clip: Clip = 0.2  # [P]
    value_clip: Weight = 0.0  # [A] 0 is off; [S] 0.2
    value_coef: Weight = 0.5  # [P] [S] 1.0
    entropy_coef: Weight = 0.01  # [P] [S] 0
    max_grad_norm: GradNorm = 0.5  # [A] of all gradients together
    adam_eps: Annotated[float, Range(0, 1, above=True)] = 1e-5  # [A]
    target_kl: Weight = 0.0  # [O] stops the epochs of an update beyond it; 0 is off
    normalize_advantages: bool = True  # [P] over the whole rollout
    normalize_observations: bool = False  # [A] running mean and variance
    shared_core: bool = True  # [S] one trunk for actor and critic, or one each
    encoder_kind: Annotated[str, OneOf(ENCODERS)] = "auto"  # auto: conv for bytes, else dense
    encoder: Width = 128  # [S] width of the layer before the core
    head: Width = 128  # [S] width of the two layers of each head

    def __post_init__(self) -> None:
        fields.check_instance(self, "agent.")


class PPO(OnPolicyAgent):
    """The agent: configuration and networks; progress lives in `OnPolicyState`.

    Raises InputError for hyper-parameters out of range, an action space without a head, and an
    encoder or normalisation that does not fit the observations.
    """

    Config: ClassVar[type] = PPOConfig

    def __init__(
        self,
        env: VecEnv,
        config: PPOConfig,
        core: dict[str, Any],
        num_updates: int,
        world_model: dict[str, Any] | None = None,
    ):
        del world_model  # `needs_world_model` is False: there is none
        check_sizes(env.num_envs, config.minibatches, num_updates, config.accumulate)
        observations = Observations(
            env, config.encoder_kind, normalized=config.normalize_observations
        )
        network = make_network(
            core, env.spec.obs_space, env.spec.action_space, config.encoder_kind, config.encoder,
            config.head, config.shared_core,
        )  # fmt: skip
        steps = num_updates * config.epochs * config.minibatches
        rate = learning_rate(config.schedule, config.lr, steps, config.warmup)
        optimiser = optax.chain(
            optax.clip_by_global_norm(config.max_grad_norm),
            optax.adam(rate, eps=config.adam_eps),
        )
        super().__init__(env, config, observations, network, optimiser)

    def policy(
        self, params: PolicyParams, carry: Carry, obs: Array, reset: Array
    ) -> tuple[Carry, Distribution, Array]:
        """One step on flattened obs [B, ...]: (carry, distribution [B], value [B])."""
        obs = self.observations.normalise(params.moments, obs)
        return self.network.apply(params.network, carry, obs, reset, method="step")

    def learn(
        self, state: OnPolicyState, carry: Carry, trajectory: Trajectory, key: Array
    ) -> tuple[Params, optax.OptState, Metrics]:
        """`epochs` passes over a rollout that began with `carry`."""
        c = self.config
        settings = LossSettings(c.clip, c.value_clip, c.value_coef, c.entropy_coef, c.target_kl)
        return improve(
            self.network, self.optimiser, settings, state.params.network, state.optimiser,
            self.minibatches(state.params.moments, trajectory, carry), key, c.epochs, c.minibatches,
            c.accumulate,
        )  # fmt: skip

    def minibatches(self, moments: RunningMoments, t: Trajectory, carry: Carry) -> Minibatches:
        """A rollout that began with `carry`, as the loss sees it."""
        advantage = advantages(t, gamma=self.config.gamma, lam=self.config.lam)
        target = advantage + t.value
        if self.config.normalize_advantages:
            advantage = standardise(advantage, t.mask)
        obs = self.observations.normalise(moments, t.obs)
        return Minibatches(
            carry, obs, t.reset, t.action, t.log_prob, t.value, advantage, target, t.mask
        )
