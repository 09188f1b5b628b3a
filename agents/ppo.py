"""Recurrent PPO (Schulman et al. 1707.06347) in one jitted program, with any sequence core.

Minibatches are whole sequences of some of the environments, replayed from the carry that each had
at the rollout's start, so the gradient flows through all of the rollout.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from rlseq import fields
from rlseq.agents.networks import ENCODERS, keeps_image, make_network
from rlseq.agents.ppo_update import LossSettings, Minibatches, improve
from rlseq.agents.rollout import (
    Actor,
    Episodes,
    Trajectory,
    collect,
    episode_metrics,
    to_env,
)
from rlseq.envs.spaces import flat_size, flatten
from rlseq.envs.wrappers import EpisodeStatistics, FlattenObservation
from rlseq.errors import InputError
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
from rlseq.nn.normalisers import RunningMoments, init_moments, normalise, update_moments
from rlseq.rl.losses import standardise
from rlseq.rl.returns import gae
from rlseq.rl.schedules import SCHEDULES, learning_rate
from rlseq.types import Carry, Metrics, Params, PyTree, VecEnv


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters. Sources: [P] PPO 1707.06347 table 3, [A] Andrychowicz et al. 2006.05990,
    [S] S5-RL 2303.03982 appendix (POPGym), [O] ours, chosen on RepeatPreviousEasy."""

    num_steps: Rollout = 128  # [P] length of a rollout; the span of backpropagation through time
    epochs: Epochs = 4  # [O] passes over a rollout; [S] 30
    minibatches: MinibatchCount = 8  # [S] must divide the number of environments
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


class PolicyParams(NamedTuple):
    """All that acting needs."""

    network: Params
    moments: RunningMoments


class PPOState(NamedTuple):
    """All that training needs; every leaf is an array."""

    params: PolicyParams
    optimiser: optax.OptState
    actor: Actor
    updates: Array  # [] int32
    key: Array


class PPO:
    """The agent: configuration and networks; progress lives in `PPOState`.

    Raises InputError for hyper-parameters out of range, an action space without a head, and an
    encoder or normalisation that does not fit the observations.
    """

    Config: ClassVar[type] = PPOConfig

    def __init__(self, env: VecEnv, config: PPOConfig, core: dict[str, Any], num_updates: int):
        _check(config, env.num_envs, num_updates)
        self.config = config
        self.obs_space = env.spec.obs_space
        # Images stay as they are, bytes for the most part, until they are inside the network.
        self.images = keeps_image(config.encoder_kind, self.obs_space)
        if self.images and config.normalize_observations:
            raise InputError("agent.normalize_observations is for vectors, not for images")
        self.env = EpisodeStatistics(env if self.images else FlattenObservation(env))
        self.network = make_network(
            core, self.obs_space, env.spec.action_space, config.encoder_kind, config.encoder,
            config.head, config.shared_core,
        )  # fmt: skip
        self.steps_per_update = env.num_envs * config.num_steps
        steps = num_updates * config.epochs * config.minibatches
        rate = learning_rate(config.schedule, config.lr, steps, config.warmup)
        self.optimiser = optax.chain(
            optax.clip_by_global_norm(config.max_grad_norm),
            optax.adam(rate, eps=config.adam_eps),
        )

    @partial(jax.jit, static_argnums=0)
    def init(self, key: Array) -> PPOState:
        """Fresh parameters and episodes."""
        key, net_key, env_key, act_key = jax.random.split(key, 4)
        env_state, timestep = self.env.reset(env_key)
        carry = self.init_carry(self.env.num_envs)
        network = self.network.init(net_key, carry, timestep.obs, timestep.reset, method="step")
        moments = init_moments(0 if self.images else flat_size(self.obs_space))
        return PPOState(
            params=PolicyParams(network, moments),
            optimiser=self.optimiser.init(network),
            actor=Actor(env_state, timestep, carry, act_key),
            updates=jnp.zeros((), jnp.int32),
            key=key,
        )

    def init_carry(self, batch: int) -> Carry:
        """The memory of `batch` fresh episodes."""
        return self.network.init_carry(batch)

    def policy_params(self, state: PPOState) -> PolicyParams:
        """What `act` needs of a state."""
        return state.params

    @partial(jax.jit, static_argnums=(0, 2))
    def train(self, state: PPOState, num_updates: int) -> tuple[PPOState, Metrics]:
        """`num_updates` rollouts and improvements; metrics are means over them.

        "return" and "length" are means over the "episodes" that ended within, 0 when none did;
        "valid_steps" are those whose action was not ignored.
        """
        state, (episodes, losses) = lax.scan(self._update, state, None, num_updates)
        mean = jax.tree.map(jnp.mean, losses)
        finite = jnp.all(jnp.stack([jnp.isfinite(v).all() for v in losses.values()]))
        return state, {
            **episode_metrics(episodes),
            **mean,
            "finite": finite.astype(jnp.float32),
        }

    @partial(jax.jit, static_argnums=0, static_argnames="greedy")
    def act(
        self,
        params: PolicyParams,
        carry: Carry,
        obs: PyTree,
        reset: Array,
        key: Array,
        *,
        greedy: bool = False,
    ) -> tuple[Carry, PyTree]:
        """Actions for obs [B, ...], reset bool [B]: samples, or the modes when greedy."""
        obs = self.flatten(obs)
        carry, distribution, _ = self._policy(params, carry, obs, reset)
        action = distribution.mode() if greedy else distribution.sample(key)
        return carry, to_env(self.env, action)

    def _policy(self, params: PolicyParams, carry: Carry, obs: Array, reset: Array) -> Any:
        obs = self._normalised(params.moments, obs)
        return self.network.apply(params.network, carry, obs, reset, method="step")

    def _normalised(self, moments: RunningMoments, obs: Array) -> Array:
        return normalise(moments, obs) if self.config.normalize_observations else obs

    def _update(self, state: PPOState, _: None) -> tuple[PPOState, tuple[Episodes, Metrics]]:
        """One rollout, then `epochs` passes over it."""
        cfg = self.config
        key, epoch_key = jax.random.split(state.key)
        policy = partial(self._policy, state.params)
        first_carry = state.actor.carry
        actor, trajectory, episodes = collect(self.env, policy, state.actor, cfg.num_steps)
        data = self._minibatches(state.params.moments, trajectory, first_carry)
        settings = LossSettings(
            cfg.clip, cfg.value_clip, cfg.value_coef, cfg.entropy_coef, cfg.target_kl
        )
        network, optimiser, losses = improve(
            self.network, self.optimiser, settings, state.params.network, state.optimiser,
            data, epoch_key, cfg.epochs, cfg.minibatches,
        )  # fmt: skip
        moments = state.params.moments
        if cfg.normalize_observations:
            moments = update_moments(moments, trajectory.obs, trajectory.learned)
        params = PolicyParams(network, moments)
        return PPOState(params, optimiser, actor, state.updates + 1, key), (episodes, losses)

    def _minibatches(self, moments: RunningMoments, t: Trajectory, carry: Carry) -> Minibatches:
        cfg = self.config
        advantage = gae(
            t.reward, t.value, t.next_value, t.terminated, t.done, t.learned,
            gamma=cfg.gamma, lam=cfg.lam,
        )  # fmt: skip
        target = advantage + t.value
        if cfg.normalize_advantages:
            advantage = standardise(advantage, t.learned)
        obs = self._normalised(moments, t.obs)
        return Minibatches(
            carry, obs, t.reset, t.action, t.log_prob, t.value, advantage, target, t.learned
        )

    def flatten(self, obs: PyTree) -> Array:
        """Observations as the network takes them: images [B, H, W, C], or float32 [B, D]."""
        return obs if self.images else flatten(self.obs_space, obs)

    def batched(self, state: PPOState) -> PPOState:
        """True for every leaf of a state whose first axis is the environments."""
        whole = jax.tree.map(lambda _: False, state)
        actor = jax.tree.map(lambda _: True, state.actor)
        return whole._replace(actor=actor._replace(key=False))


def _check(config: PPOConfig, num_envs: int, num_updates: int) -> None:
    if num_updates < 1:
        raise InputError(f"num_updates must be at least 1, got {num_updates}")
    if num_envs % config.minibatches:
        raise InputError(
            f"agent.minibatches must divide env.num_envs = {num_envs}, got {config.minibatches}"
        )
