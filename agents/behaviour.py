"""Actor and critic that learn from imagined rollouts alone (DreamerV3, Drama).

The critic regresses the two-hot of lambda-returns, and of those of its own slow copy. The
actor follows REINFORCE with the returns' percentiles as their scale, or PPO.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import Array

from rlseq.agents.imagination_settings import ImaginationConfig
from rlseq.agents.imagined import ImaginedRollout
from rlseq.agents.networks import as_float32
from rlseq.agents.updates import gradient_step, minibatch_epochs
from rlseq.nn.distributions import Categorical
from rlseq.nn.encoders import NormedStack
from rlseq.nn.initialisers import orthogonal
from rlseq.nn.normalisers import RunningMoments, init_moments, normalise, update_moments
from rlseq.rl.losses import approximate_kl, clipped_policy_loss, masked_mean
from rlseq.rl.optimisers import laprop
from rlseq.rl.percentiles import Percentiles, init_percentiles, update_percentiles
from rlseq.rl.returns import lambda_returns
from rlseq.rl.two_hot import BINS, two_hot_loss, two_hot_mean
from rlseq.types import Metrics, Params

LAYERS = 3  # Drama, of both
OUTPUT_SCALE = 0.001  # Drama: the first policy is nearly uniform, the first value nearly 0


class Head(nn.Module):
    """Features [..., F] -> [..., outputs]: three layers with RMSNorm and SiLU, then a dense one.

    The last is float32, as all heads of agents; products of the others are of `dtype`.
    """

    width: int
    outputs: int
    scale: float = OUTPUT_SCALE  # of the last layer's first weights
    dtype: str = "float32"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = NormedStack((self.width,) * LAYERS, orthogonal(math.sqrt(2)), self.dtype)(x)
        return nn.Dense(self.outputs, kernel_init=orthogonal(self.scale))(as_float32(x))


class ActorParams(NamedTuple):
    """What choosing an action from features needs."""

    network: Params
    moments: RunningMoments


class ActorCriticParams(NamedTuple):
    """What gradients move."""

    actor: Params
    critic: Params


class BehaviourState(NamedTuple):
    """What learning in imagination keeps."""

    params: ActorCriticParams
    slow: Params  # critic
    optimiser: optax.OptState
    moments: RunningMoments  # of the features
    percentiles: Percentiles  # of the returns

    @property
    def actor(self) -> ActorParams:
        """What acting needs."""
        return ActorParams(self.params.actor, self.moments)


class ImaginedBatch(NamedTuple):
    """Imagined steps as the loss sees them, leaves [M, ...]."""

    normalised: Array  # features as the actor reads them
    features: Array
    action: Array
    log_prob: Array
    advantage: Array
    target: Array  # lambda-return
    slow_target: Array  # lambda-return of the slow critic
    mask: Array  # bool, False where the episode had ended before: left out of all means


class Behaviour:
    """Configuration and networks, whose products are of `dtype`; progress lives in
    `BehaviourState`."""

    def __init__(
        self,
        config: ImaginationConfig,
        features: int,
        num_actions: int,
        two_hot: str = "symexp",
        dtype: str = "float32",
    ):
        self.config = config
        self.features = features
        self.two_hot = two_hot
        self.actor = Head(config.actor, num_actions, dtype=dtype)
        # The outermost bins are 4.9e8: their means cancel where no weight breaks the symmetry.
        scale = 0.0 if two_hot == "symexp" else OUTPUT_SCALE
        self.critic = Head(config.critic, BINS, scale, dtype)
        self.optimiser = laprop(
            config.lr, warmup=config.lr_warmup, max_grad_norm=config.max_grad_norm
        )

    def init(self, key: Array) -> BehaviourState:
        """Fresh parameters."""
        actor_key, critic_key = jax.random.split(key)
        x = jnp.zeros((1, self.features), jnp.float32)
        critic = self.critic.init(critic_key, x)
        params = ActorCriticParams(self.actor.init(actor_key, x), critic)
        return BehaviourState(
            params, critic, self.optimiser.init(params), init_moments(self.features),
            init_percentiles(),
        )  # fmt: skip

    def policy(self, params: ActorParams, features: Array) -> Categorical:
        """The distribution over actions for features [..., F]."""
        return self._policy(params.network, self._normalised(params.moments, features))

    def value(self, critic: Params, features: Array) -> Array:
        """Values [...] of features [..., F]."""
        logits: Any = self.critic.apply(critic, features)
        return two_hot_mean(logits, form=self.two_hot)

    def improve(
        self, state: BehaviourState, rollout: ImaginedRollout, key: Array
    ) -> tuple[BehaviourState, Metrics]:
        """One update from H steps of N imagined rollouts; the metrics are scalars."""
        batch, percentiles, metrics = self.batch(state, rollout)
        params, optimiser, losses = self._fit(state, batch, key)
        decay = self.config.slow_decay
        slow = jax.tree.map(
            lambda old, new: decay * old + (1 - decay) * new, state.slow, params.critic
        )
        moments = state.moments
        if self.config.normalize_features:
            after = rollout.mask[-1:] * rollout.alive[-1:]
            running = jnp.concatenate([rollout.mask, after]) > 0
            moments = update_moments(moments, rollout.features, running)
        new = BehaviourState(params, slow, optimiser, moments, percentiles)
        return new, metrics | losses

    def batch(
        self, state: BehaviourState, rollout: ImaginedRollout
    ) -> tuple[ImaginedBatch, Percentiles, Metrics]:
        """Returns and advantages of a rollout: (what the loss sees, their scale, metrics)."""
        c = self.config
        value, slow_value = (
            self.value(params, rollout.features) for params in (state.params.critic, state.slow)
        )
        returns = partial(
            lambda_returns, rollout.reward, alive=rollout.alive, gamma=c.gamma, lam=c.lam,
            own_value=c.own_value,
        )  # fmt: skip
        target, slow_target = returns(value=value), returns(value=slow_value)
        mask = rollout.mask > 0
        percentiles = update_percentiles(state.percentiles, target, mask)
        before = rollout.features[:-1]
        batch = ImaginedBatch(
            normalised=self._normalised(state.moments, before),
            features=before,
            action=rollout.action,
            log_prob=rollout.log_prob,
            advantage=(target - value[:-1]) / percentiles.scale,
            target=target,
            slow_target=slow_target,
            mask=mask,
        )
        metrics = {
            "imagined/reward": masked_mean(rollout.reward, mask),
            "imagined/return": masked_mean(target, mask),
            "imagined/value": masked_mean(value[:-1], mask),
            "imagined/ends": masked_mean(1 - rollout.alive, mask),
            "return_scale": percentiles.scale,
        }
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
        return flat, percentiles, metrics

    def loss(self, params: ActorCriticParams, batch: ImaginedBatch) -> tuple[Array, Metrics]:
        """The loss of imagined steps [M], and its parts."""
        c = self.config
        policy = self._policy(params.actor, batch.normalised)
        log_prob, entropy = policy.log_prob(batch.action), policy.entropy()
        log_ratio, mask = log_prob - batch.log_prob, batch.mask
        if c.algorithm == "ppo":
            actor = clipped_policy_loss(log_ratio, batch.advantage, c.clip, mask)
        else:
            actor = -masked_mean(batch.advantage * log_prob, mask)
        logits: Any = self.critic.apply(params.critic, batch.features)
        errors = [
            two_hot_loss(logits, x, form=self.two_hot) for x in (batch.target, batch.slow_target)
        ]
        critic, slow = (masked_mean(error, mask) for error in errors)
        bonus = masked_mean(entropy, mask)
        return actor + critic + slow - c.entropy_coef * bonus, {
            "loss/policy": actor,
            "loss/value": critic,
            "entropy": bonus,
            "approx_kl": approximate_kl(log_ratio, mask),
        }

    def _fit(
        self, state: BehaviourState, batch: ImaginedBatch, key: Array
    ) -> tuple[ActorCriticParams, optax.OptState, Metrics]:
        """Steps on a batch: one for REINFORCE, epochs of minibatches for PPO."""
        c = self.config
        if c.algorithm == "reinforce":
            new = gradient_step(self.loss, self.optimiser, state.params, state.optimiser, batch)
            params: Any = new.params
            return params, new.optimiser, new.aux | {"grad_norm": new.norm}
        return minibatch_epochs(
            self.loss, self.optimiser, state.params, state.optimiser,
            lambda steps: jax.tree.map(lambda x: x[steps], batch), batch.target.size, key,
            epochs=c.epochs, minibatches=c.minibatches, target_kl=c.target_kl, undo_last=True,
        )  # fmt: skip

    def _policy(self, network: Params, normalised: Array) -> Categorical:
        logits = self.actor.apply(network, normalised)
        assert isinstance(logits, jax.Array)
        return Categorical(logits)

    def _normalised(self, moments: RunningMoments, features: Array) -> Array:
        return normalise(moments, features) if self.config.normalize_features else features
