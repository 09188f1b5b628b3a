"""Actor and critic that learn from imagined roll-outs alone (DreamerV3, Drama).

The critic regresses the symlog two-hot of lambda-returns, and of those of its own slow copy. The
actor follows REINFORCE with the returns' percentiles as their scale, or PPO.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from rlseq.agents.dreams import Dream
from rlseq.agents.imagination_settings import ImaginationConfig
from rlseq.nn.distributions import Categorical
from rlseq.nn.encoders import NormedStack
from rlseq.nn.initialisers import orthogonal
from rlseq.nn.normalisers import RunningMoments, init_moments, normalise, update_moments
from rlseq.rl.losses import approximate_kl, clipped_policy_loss
from rlseq.rl.optimisers import gradient_norm, laprop
from rlseq.rl.percentiles import Percentiles, init_percentiles, update_percentiles
from rlseq.rl.returns import lambda_returns
from rlseq.rl.two_hot import BINS, two_hot_loss, two_hot_mean
from rlseq.types import Metrics, Params

LAYERS = 3  # Drama, of both
OUTPUT_SCALE = 0.001  # Drama: the first policy is nearly uniform, the first value nearly 0


class Head(nn.Module):
    """Features [..., F] -> [..., outputs]: three layers with RMSNorm and SiLU, then a dense one."""

    width: int
    outputs: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = NormedStack((self.width,) * LAYERS, orthogonal(math.sqrt(2)))(x)
        return nn.Dense(self.outputs, kernel_init=orthogonal(OUTPUT_SCALE))(x)


class ActorParams(NamedTuple):
    """All that choosing an action from features needs."""

    network: Params
    moments: RunningMoments


class Learned(NamedTuple):
    """What gradients move."""

    actor: Params
    critic: Params


class BehaviourState(NamedTuple):
    """All that learning in imagination keeps."""

    learned: Learned
    slow: Params  # critic
    optimiser: optax.OptState
    moments: RunningMoments  # of the features
    percentiles: Percentiles  # of the returns

    @property
    def actor(self) -> ActorParams:
        """What acting needs."""
        return ActorParams(self.learned.actor, self.moments)


class Lesson(NamedTuple):
    """Imagined steps with what is to be learned from them, leaves [M, ...]."""

    seen: Array  # features as the actor reads them
    features: Array
    action: Array
    log_prob: Array
    advantage: Array
    target: Array  # lambda-return
    slow_target: Array  # lambda-return of the slow critic
    weight: Array


class Behaviour:
    """Configuration and networks; what is learned lives in `BehaviourState`."""

    def __init__(self, config: ImaginationConfig, features: int, num_actions: int):
        self.config = config
        self.features = features
        self.actor, self.critic = Head(config.actor, num_actions), Head(config.critic, BINS)
        self.optimiser = laprop(
            config.lr, warmup=config.lr_warmup, max_grad_norm=config.max_grad_norm
        )

    def init(self, key: Array) -> BehaviourState:
        """Nothing learned."""
        actor_key, critic_key = jax.random.split(key)
        x = jnp.zeros((1, self.features), jnp.float32)
        critic = self.critic.init(critic_key, x)
        learned = Learned(self.actor.init(actor_key, x), critic)
        return BehaviourState(
            learned, critic, self.optimiser.init(learned), init_moments(self.features),
            init_percentiles(),
        )  # fmt: skip

    def policy(self, params: ActorParams, features: Array) -> Categorical:
        """The distribution over actions for features [..., F]."""
        return self._choice(params.network, self._seen(params.moments, features))

    def value(self, critic: Params, features: Array) -> Array:
        """Values [...] of features [..., F]."""
        logits: Any = self.critic.apply(critic, features)
        return two_hot_mean(logits)

    def improve(
        self, state: BehaviourState, dream: Dream, key: Array
    ) -> tuple[BehaviourState, Metrics]:
        """One update from H steps of N imagined roll-outs; the metrics are scalars."""
        lesson, percentiles, about = self.lesson(state, dream)
        learned, optimiser, metrics = self._study(state, lesson, key)
        decay = self.config.slow_decay
        slow = jax.tree.map(
            lambda old, new: decay * old + (1 - decay) * new, state.slow, learned.critic
        )
        moments = state.moments
        if self.config.normalize_features:
            moments = update_moments(moments, dream.features)
        new = BehaviourState(learned, slow, optimiser, moments, percentiles)
        return new, about | metrics

    def lesson(self, state: BehaviourState, dream: Dream) -> tuple[Lesson, Percentiles, Metrics]:
        """Returns and advantages of a dream: (what to learn, their scale, what to log)."""
        c = self.config
        value, slow_value = (
            self.value(params, dream.features) for params in (state.learned.critic, state.slow)
        )
        returns = partial(
            lambda_returns, dream.reward, alive=dream.alive, gamma=c.gamma, lam=c.lam,
            own_value=c.own_value,
        )  # fmt: skip
        target, slow_target = returns(value=value), returns(value=slow_value)
        percentiles = update_percentiles(state.percentiles, target)
        before = dream.features[:-1]
        lesson = Lesson(
            seen=self._seen(state.moments, before),
            features=before,
            action=dream.action,
            log_prob=dream.log_prob,
            advantage=(target - value[:-1]) / percentiles.scale,
            target=target,
            slow_target=slow_target,
            weight=dream.weight,
        )
        about = {
            "imagined/reward": dream.reward.mean(),
            "imagined/return": target.mean(),
            "imagined/value": value.mean(),
            "imagined/ends": 1 - dream.alive.mean(),
            "return_scale": percentiles.scale,
        }
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), lesson)
        return flat, percentiles, about

    def loss(self, learned: Learned, lesson: Lesson) -> tuple[Array, Metrics]:
        """The loss of imagined steps [M], and its parts."""
        c = self.config
        policy = self._choice(learned.actor, lesson.seen)
        log_prob, entropy = policy.log_prob(lesson.action), policy.entropy()
        log_ratio = log_prob - lesson.log_prob
        weighed = lesson.weight * lesson.advantage
        if c.algorithm == "ppo":
            actor = clipped_policy_loss(log_ratio, weighed, c.clip)
        else:
            actor = -(weighed * log_prob).mean()
        logits: Any = self.critic.apply(learned.critic, lesson.features)
        errors = [two_hot_loss(logits, x) for x in (lesson.target, lesson.slow_target)]
        critic, slow = ((lesson.weight * error).mean() for error in errors)
        spread = (lesson.weight * entropy).mean()
        return actor + critic + slow - c.entropy_coef * spread, {
            "loss/policy": actor,
            "loss/value": critic,
            "entropy": entropy.mean(),
            "approx_kl": approximate_kl(log_ratio),
        }

    def _study(self, state: BehaviourState, lesson: Lesson, key: Array) -> tuple:
        """Passes over a lesson: one for REINFORCE, epochs of minibatches for PPO."""
        c = self.config
        size = lesson.target.size
        start = (state.learned, state.optimiser, jnp.zeros((), bool))
        if c.algorithm == "reinforce":
            (learned, optimiser, _), metrics = self._pass(lesson, start, None)
            return learned, optimiser, metrics
        keys = jax.random.split(key, c.epochs)
        orders = jax.vmap(lambda k: jax.random.permutation(k, jnp.arange(size, dtype=jnp.int32)))(
            keys
        )
        parts = orders.reshape(c.epochs * c.minibatches, -1)
        (learned, optimiser, _), metrics = lax.scan(partial(self._pass, lesson), start, parts)
        return learned, optimiser, jax.tree.map(jnp.mean, metrics)

    def _pass(self, lesson: Lesson, state: tuple, part: Array | None) -> tuple[tuple, Metrics]:
        """One optimiser step; none any more once the policy has moved further than target_kl."""
        learned, optimiser, stopped = state
        if part is not None:
            lesson = jax.tree.map(lambda x: x[part], lesson)
        gradients, metrics = jax.grad(self.loss, has_aux=True)(learned, lesson)
        metrics["grad_norm"] = gradient_norm(gradients)
        # optax's bias correction mixes dtypes, which a strict caller's JAX would refuse.
        with jax.numpy_dtype_promotion("standard"):
            changes, new = self.optimiser.update(gradients, optimiser, learned)
        moved = optax.apply_updates(learned, changes), new
        if part is None:
            return (*moved, stopped), metrics
        if self.config.target_kl > 0:
            stopped = stopped | (metrics["approx_kl"] > self.config.target_kl)
        kept = jax.tree.map(partial(jnp.where, stopped), (learned, optimiser), moved)
        return (*kept, stopped), metrics

    def _choice(self, network: Params, seen: Array) -> Categorical:
        logits = self.actor.apply(network, seen)
        assert isinstance(logits, jax.Array)
        return Categorical(logits)

    def _seen(self, moments: RunningMoments, features: Array) -> Array:
        return normalise(moments, features) if self.config.normalize_features else features
