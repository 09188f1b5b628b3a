"""PPO's improvement step: epochs of minibatches, each a set of whole sequences."""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from rlseq.rl.losses import (
    approximate_kl,
    clipped_policy_loss,
    clipped_value_loss,
    masked_mean,
    value_loss,
)
from rlseq.rl.optimisers import gradient_norm
from rlseq.types import Carry, Metrics, Params, PyTree


class LossSettings(NamedTuple):
    """Numbers of the loss; see PPOConfig."""

    clip: float
    value_clip: float
    value_coef: float
    entropy_coef: float
    target_kl: float


class Minibatches(NamedTuple):
    """A rollout as the loss sees it: carry [E, ...], everything else [T, E, ...]."""

    carry: Carry  # at the first step
    obs: Array
    reset: Array
    action: PyTree
    log_prob: Array
    value: Array
    advantage: Array
    target: Array
    learned: Array | None  # bool, None is everywhere

    def select(self, envs: Array) -> "Minibatches":
        """The sequences of some environments, int32 [number of them]."""
        carry = jax.tree.map(lambda x: x[envs], self.carry)
        rest = jax.tree.map(lambda x: x[:, envs], self._replace(carry=()))
        return rest._replace(carry=carry)


class Improvement(NamedTuple):
    """What moves through the minibatches."""

    network: Params
    optimiser: optax.OptState
    stopped: Array  # [] bool: the policy has moved further than target_kl


def improve(
    network: nn.Module,
    optimiser: optax.GradientTransformation,
    settings: LossSettings,
    params: Params,
    optimiser_state: optax.OptState,
    data: Minibatches,
    key: Array,
    epochs: int,
    minibatches: int,
) -> tuple[Params, optax.OptState, Metrics]:
    """`epochs` passes over the data in `minibatches` parts; metrics are means over all parts."""
    num_envs = data.reset.shape[1]
    keys = jax.random.split(key, epochs)
    orders = jax.vmap(lambda k: jax.random.permutation(k, jnp.arange(num_envs, dtype=jnp.int32)))(
        keys
    )
    parts = orders.reshape(epochs * minibatches, -1)
    body = partial(_minibatch, network, optimiser, settings, data)
    start = Improvement(params, optimiser_state, jnp.zeros((), bool))
    end, (metrics, used) = lax.scan(body, start, parts)
    weight = used / used.sum()
    metrics = jax.tree.map(lambda m: jnp.where(used > 0, m * weight, 0).sum(), metrics)
    return end.network, end.optimiser, metrics | {"minibatches": used.sum()}


def _minibatch(
    network: nn.Module,
    optimiser: optax.GradientTransformation,
    settings: LossSettings,
    data: Minibatches,
    state: Improvement,
    envs: Array,
) -> tuple[Improvement, tuple[Metrics, Array]]:
    loss = partial(ppo_loss, network, settings=settings)

    def step() -> tuple[Improvement, Metrics]:
        part = data.select(envs)
        gradients, metrics = jax.grad(loss, has_aux=True)(state.network, part)
        norm = gradient_norm(gradients)
        # optax's Adam mixes float and int32, which a strict caller's JAX would refuse.
        with jax.numpy_dtype_promotion("standard"):
            changes, opt = optimiser.update(gradients, state.optimiser, state.network)
        stopped = state.stopped
        if settings.target_kl > 0:
            stopped = stopped | (metrics["approx_kl"] > settings.target_kl)
        params: Any = optax.apply_updates(state.network, changes)
        return Improvement(params, opt, stopped), metrics | {"grad_norm": norm}

    if settings.target_kl <= 0:
        new, metrics = step()
        return new, (metrics, jnp.float32(1))
    shapes = jax.eval_shape(step)[1]

    def skip() -> tuple[Improvement, Metrics]:
        return state, jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    new, metrics = lax.cond(state.stopped, skip, step)
    return new, (metrics, 1 - state.stopped.astype(jnp.float32))


def ppo_loss(
    network: nn.Module, params: Params, batch: Minibatches, *, settings: LossSettings
) -> tuple[Array, Metrics]:
    """The loss (1707.06347, equation 9) of whole sequences, and its parts."""
    out: Any = network.apply(params, batch.carry, batch.obs, batch.reset)
    _, policy, value = out
    log_ratio = policy.log_prob(batch.action) - batch.log_prob
    mask = batch.learned
    policy_loss = clipped_policy_loss(log_ratio, batch.advantage, settings.clip, mask)
    if settings.value_clip > 0:
        critic = clipped_value_loss(value, batch.value, batch.target, settings.value_clip, mask)
    else:
        critic = value_loss(value, batch.target, mask)
    entropy = masked_mean(policy.entropy(), mask)
    total = policy_loss + settings.value_coef * critic - settings.entropy_coef * entropy
    clipped = jnp.abs(jnp.expm1(log_ratio)) > settings.clip
    return total, {
        "loss/policy": policy_loss,
        "loss/value": critic,
        "entropy": entropy,
        "approx_kl": approximate_kl(log_ratio, mask),
        "clip_fraction": masked_mean(clipped.astype(jnp.float32), mask),
    }
