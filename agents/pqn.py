"""Recurrent PQN (Gallici et al. 2407.04811): Q-learning from parallel rollouts, with any core.

No replay and no target network: all layers but the core's own are normalised, and the targets are
lambda-returns of the largest values over the rollout, Q(lambda), computed once from the carry that
each environment had at its start. Minibatches are whole sequences, replayed from that carry.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, NamedTuple

import jax.numpy as jnp
import optax
from gymnax.environments import spaces
from jax import Array

from rlseq import fields
from rlseq.agents.exploration import EpsilonGreedy, linear_epsilon
from rlseq.agents.networks import ENCODERS, QNetwork, make_trunk
from rlseq.agents.observations import Observations
from rlseq.agents.on_policy import OnPolicyAgent, OnPolicyState, PolicyParams, check_sizes
from rlseq.agents.rollout import Policy, Trajectory, advantages, select_sequences
from rlseq.agents.updates import minibatch_epochs
from rlseq.envs.spaces import describe
from rlseq.errors import InputError
from rlseq.rl.devices import shared_loss, whole_batch
from rlseq.rl.losses import masked_mean, value_loss
from rlseq.rl.schedules import SCHEDULES, learning_rate
from rlseq.types import Carry, Metrics, Params, VecEnv


@dataclass(frozen=True)
class PQNConfig:
    """Hyper-parameters. Sources: [Q] the code released with PQN 2407.04811, recurrent, on a task of
    memory (pqn_rnn_memory_chain); [O] ours."""

    num_steps: fields.Rollout = 128  # [Q] of a rollout, and of backpropagation through time
    epochs: fields.Epochs = 4  # [Q] passes over a rollout
    minibatches: fields.MinibatchCount = 8  # [O] must divide the number of environments; [Q] 16
    accumulate: fields.MinibatchCount = (
        1  # [O] parts of a minibatch, one after another: less memory
    )
    lr: fields.LearningRate = 1e-3  # [Q] peak learning rate of RAdam
    schedule: Annotated[str, fields.OneOf(SCHEDULES)] = "linear"  # [O] [Q] constant
    warmup: fields.Warmup = 0  # [Q] optimiser steps of linear warm-up
    gamma: fields.Share = 0.99  # [Q]
    lam: fields.Share = 0.95  # [Q] of Q(lambda)
    epsilon_first: fields.Share = 1.0  # [Q] share of uniform actions at the start
    epsilon_last: fields.Share = 0.01  # [Q] and at the end of exploration, in evaluation too
    exploration: fields.Share = 0.1  # [Q] share of the run over which epsilon falls
    max_grad_norm: fields.GradNorm = 10.0  # [Q] of all gradients together
    normalize_observations: bool = False  # [Q] running mean and variance
    encoder_kind: Annotated[str, fields.OneOf(ENCODERS)] = "auto"  # conv for bytes, else dense
    encoder: fields.Width = 128  # [O] width of the layer before the core; [Q] 256
    head: fields.Width = 128  # [O] width of the layer after the core; [Q] 256

    def __post_init__(self) -> None:
        fields.check_instance(self, "agent.")


class QBatch(NamedTuple):
    """A rollout as the loss sees it: carry [E, ...], everything else [T, E, ...]."""

    carry: Carry  # at the first step
    obs: Array
    reset: Array
    action: Array
    target: Array
    mask: Array | None  # bool, None is everywhere


class PQN(OnPolicyAgent):
    """The agent: configuration and networks; progress lives in `OnPolicyState`.

    Raises InputError for hyper-parameters out of range, actions that are not one choice of
    several, and an encoder or normalisation that does not fit the observations.
    """

    Config: ClassVar[type] = PQNConfig

    def __init__(
        self,
        env: VecEnv,
        config: PQNConfig,
        core: dict[str, Any],
        num_updates: int,
        world_model: dict[str, Any] | None = None,
    ):
        del world_model  # `needs_world_model` is False: there is none
        check_sizes(env.num_envs, config.minibatches, num_updates, config.accumulate)
        space = env.spec.action_space
        if not isinstance(space, spaces.Discrete):
            raise InputError(f"pqn needs Discrete actions, got {describe(space)}")
        observations = Observations(
            env, config.encoder_kind, normalized=config.normalize_observations
        )
        trunk = make_trunk(core, env.spec.obs_space, config.encoder_kind, config.encoder, norm=True)
        steps = num_updates * config.epochs * config.minibatches
        rate = learning_rate(config.schedule, config.lr, steps, config.warmup)
        optimiser = optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.radam(rate))
        network = QNetwork(*trunk, int(space.n), (config.head,))
        super().__init__(env, config, observations, network, optimiser)
        self.exploration_updates = round(config.exploration * num_updates)

    def policy(
        self,
        params: PolicyParams,
        carry: Carry,
        obs: Array,
        reset: Array,
        epsilon: float | Array | None = None,
    ) -> tuple[Carry, EpsilonGreedy, Array]:
        """One step on flattened obs [B, ...]: (carry, actions [B], the largest values [B])."""
        obs = self.observations.normalise(params.moments, obs)
        carry, values = self.network.apply(params.network, carry, obs, reset, method="step")
        share = self.config.epsilon_last if epsilon is None else epsilon
        return carry, EpsilonGreedy(values, jnp.asarray(share, jnp.float32)), values.max(-1)

    def behaviour(self, state: OnPolicyState) -> Policy:
        """Epsilon falls from update to update."""
        return partial(self.policy, state.params, epsilon=self.epsilon(state))

    def epsilon(self, state: OnPolicyState) -> Array:
        """float32 []: the share of uniform actions in the next rollout."""
        c = self.config
        return linear_epsilon(
            state.updates, c.epsilon_first, c.epsilon_last, self.exploration_updates
        )

    def learn(
        self, state: OnPolicyState, carry: Carry, trajectory: Trajectory, key: Array
    ) -> tuple[Params, optax.OptState, Metrics]:
        """`epochs` passes over a rollout that began with `carry`."""
        c, t = self.config, trajectory
        target = t.value + advantages(t, gamma=c.gamma, lam=c.lam)
        obs = self.observations.normalise(state.params.moments, t.obs)
        batch = whole_batch(QBatch(carry, obs, t.reset, t.action, target, t.mask))
        network, optimiser, losses = minibatch_epochs(
            shared_loss(self.loss), self.optimiser, state.params.network, state.optimiser,
            partial(select_sequences, batch), self.env.num_envs, key,
            epochs=c.epochs, minibatches=c.minibatches, parts=c.accumulate,
        )  # fmt: skip
        return network, optimiser, losses | {"epsilon": self.epsilon(state)}

    def loss(self, network: Params, batch: QBatch) -> tuple[Array, Metrics]:
        """Half the mean squared error of the values of the actions that were taken."""
        _, values = self.network.apply(network, batch.carry, batch.obs, batch.reset)
        value = jnp.take_along_axis(values, batch.action[..., None], axis=-1)[..., 0]
        loss = value_loss(value, batch.target, batch.mask)
        return loss, {"loss/value": loss, "value": masked_mean(value, batch.mask)}
