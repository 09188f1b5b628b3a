"""The updates of `agents/sac.py`: sequences of a replay, soft values, losses, temperature."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from rlseq.agents.replay_agent import Row
from rlseq.agents.sac_networks import Actions, SoftActor, TwinCritic, Values
from rlseq.agents.sac_settings import SACConfig
from rlseq.agents.sequences import rows_at, stored_carry, unroll
from rlseq.agents.updates import gradient_step
from rlseq.replay.starts import Starts, StartSampler
from rlseq.rl.devices import split_sequences
from rlseq.rl.losses import masked_mean, value_loss
from rlseq.types import Carry, Metrics, Params, PyTree, Ring


class SACCarry(NamedTuple):
    """The memories of acting."""

    actor: Carry
    critic: Carry


class Networks(NamedTuple):
    """What gradients move."""

    actor: Params
    critic: Params
    log_temperature: Array  # [] float32


class LearnerState(NamedTuple):
    """What updates change."""

    networks: Networks
    target: Params  # of the critics
    optimiser: optax.OptState


class SoftBatch(NamedTuple):
    """B sequences of which T steps are learned from."""

    carry: SACCarry  # [B, ...]
    obs: Array  # [burn_in + T + 1, B, ...]
    reset: Array  # bool, of obs
    action: Array  # [T, B] or [T, B, A]
    reward: Array  # [T, B]
    terminated: Array  # bool [T, B], no value follows
    mask: Array  # bool [T, B], False: the successor was not kept, nothing is learned


class SoftLearner:
    """Configuration and networks; what updates change is in `LearnerState`.

    One gradient of all losses at once, each with respect to its own part, so that a memory is
    unrolled once for all that reads it.
    """

    def __init__(
        self,
        config: SACConfig,
        actor: SoftActor,
        critic: TwinCritic,
        actions: Actions,
        starts: StartSampler,
    ):
        self.config = config
        self.actor: Any = actor  # flax gives the results of `apply` no types
        self.critic: Any = critic
        self.actions = actions
        self.starts = starts
        given = config.target_entropy
        self.target_entropy = actions.target_entropy if given is None else given
        parts: dict[Any, Any] = {"actor": self._adam(), "critic": self._adam()}
        parts["log_temperature"] = optax.adam(config.temperature_lr)
        self.optimiser = optax.partition(parts, Networks._make(Networks._fields))

    def begin(self, actor: Params, critic: Params) -> LearnerState:
        """From fresh networks; the target is the critic."""
        temperature = jnp.log(jnp.float32(self.config.temperature))
        networks = Networks(actor, critic, temperature)
        return LearnerState(networks, critic, self.optimiser.init(networks))

    def learn_once(
        self, ring: Ring, old: tuple[LearnerState, PyTree], key: Array
    ) -> tuple[tuple[LearnerState, PyTree], Metrics]:
        """One update of (learner, sampler) on sequences of the ring: (both anew, losses)."""
        c = self.config
        learner, sampler = old
        draw_key, loss_key = jax.random.split(key)
        starts = self.starts.draw(sampler, ring, c.window, c.batch, draw_key)
        batch = split_sequences(self.batch(ring, starts))
        new = gradient_step(
            self.loss, self.optimiser, learner.networks, learner.optimiser, learner.target,
            batch, loss_key,
        )  # fmt: skip
        networks: Any = new.params
        target: Any = optax.incremental_update(networks.critic, learner.target, c.target_rate)
        learner = LearnerState(networks, target, new.optimiser)
        return (learner, sampler), new.aux | {"grad_norm": new.norm}

    def batch(self, ring: Ring, starts: Starts) -> SoftBatch:
        """The sequences that begin at `starts`."""
        c = self.config
        rows: Row = ring.rows
        env, at = rows_at(ring, starts, c.window)
        carry = stored_carry(rows.carry, env, at)
        learned = env[c.burn_in : -1], at[c.burn_in : -1]
        action, reward, terminated, cut = (
            x[learned] for x in (rows.action, rows.reward, rows.terminated, rows.truncated)
        )
        obs, reset = rows.obs[env, at], rows.reset[env, at]
        return SoftBatch(carry, obs, reset, action, reward, terminated, ~cut)

    def loss(
        self, networks: Networks, target: Params, batch: SoftBatch, key: Array
    ) -> tuple[Array, Metrics]:
        """The sum of all losses, each with gradients to one part of the networks alone."""
        frozen = lax.stop_gradient(networks)
        temperature = jnp.exp(frozen.log_temperature)
        target_key, actor_key = jax.random.split(key)
        outputs = self._unrolled(self.actor, networks.actor, batch.carry.actor, batch)
        features = self._unrolled(self.critic, networks.critic, batch.carry.critic, batch)[:-1]
        wanted = self.targets(lax.stop_gradient(outputs), target, batch, temperature, target_key)
        taken = self.actions.taken(self.values(networks.critic), features, batch.action)
        critic = value_loss(taken[0], wanted, batch.mask) + value_loss(taken[1], wanted, batch.mask)
        value, entropy = self.actions.soft_value(
            self.actions.policy(outputs[:-1]), self.values(frozen.critic),
            lax.stop_gradient(features), temperature, actor_key,
        )  # fmt: skip
        actor = -masked_mean(value, batch.mask)
        entropy = lax.stop_gradient(masked_mean(entropy, batch.mask))
        # 1812.05905, equation 18, on the logarithm as in the released code: the same sign and zero.
        own = networks.log_temperature * (entropy - self.target_entropy)
        return critic + actor + own, {
            "loss/critic": critic,
            "loss/actor": actor,
            "loss/temperature": own,
            "temperature": temperature,
            "entropy": entropy,
            "value": masked_mean(taken.min(0), batch.mask),
        }

    def targets(
        self, outputs: Array, target: Params, batch: SoftBatch, temperature: Array, key: Array
    ) -> Array:
        """r + gamma V(next), [T, B], V by the target (1812.05905, equations 3 and 5).

        outputs [T + 1, B, N] are the actor's. Nothing follows an end, wherever the next row is.
        """
        features = self._unrolled(self.critic, target, batch.carry.critic, batch)
        policy = self.actions.policy(outputs[1:])
        values = self.values(target)
        value, _ = self.actions.soft_value(policy, values, features[1:], temperature, key)
        following = jnp.where(batch.terminated, 0, self.config.gamma * value)
        return lax.stop_gradient(batch.reward + following)

    def values(self, critic: Params) -> Values:
        """Both heads of a critic as a function of features and actions."""
        return partial(self.critic.apply, critic, method="values")

    def _unrolled(self, network: Any, params: Params, carry: Carry, batch: SoftBatch) -> Array:
        return unroll(network.apply, params, carry, batch.obs, batch.reset, self.config.burn_in)

    def _adam(self) -> optax.GradientTransformation:
        c = self.config
        return optax.chain(optax.clip_by_global_norm(c.max_grad_norm), optax.adam(c.lr))
