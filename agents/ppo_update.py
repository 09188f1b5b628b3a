"""PPO's improvement step: epochs of minibatches, each a set of whole sequences."""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax import Array

from rlseq.agents.rollout import select_sequences
from rlseq.agents.updates import minibatch_epochs
from rlseq.rl.devices import shared_loss, whole_batch
from rlseq.rl.losses import (
    approximate_kl,
    clipped_policy_loss,
    clipped_value_loss,
    masked_mean,
    value_loss,
)
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
    mask: Array | None  # bool, None is everywhere

    def select(self, envs: Array) -> "Minibatches":
        """The sequences of some environments, int32 [number of them]."""
        return select_sequences(self, envs)


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
    parts: int = 1,
) -> tuple[Params, optax.OptState, Metrics]:
    """`epochs` passes over the data in `minibatches`, each in `parts` one after another; metrics
    are means over all of them."""
    data = whole_batch(data)
    loss = shared_loss(partial(ppo_loss, network, settings=settings))
    return minibatch_epochs(
        loss, optimiser, params, optimiser_state,
        data.select, data.reset.shape[1], key, epochs=epochs, minibatches=minibatches,
        parts=parts, target_kl=settings.target_kl,
    )  # fmt: skip


def ppo_loss(
    network: nn.Module, params: Params, batch: Minibatches, *, settings: LossSettings
) -> tuple[Array, Metrics]:
    """The loss (1707.06347, equation 9) of whole sequences, and its parts."""
    out: Any = network.apply(params, batch.carry, batch.obs, batch.reset)
    _, policy, value = out
    log_ratio = policy.log_prob(batch.action) - batch.log_prob
    mask = batch.mask
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
