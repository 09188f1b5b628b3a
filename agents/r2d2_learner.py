"""The updates of `agents/r2d2.py`: sequences of a replay, their targets, loss and priorities."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from rlseq.agents.frames import FrameStack
from rlseq.agents.networks import DuelingNetwork
from rlseq.agents.r2d2_settings import R2D2Config
from rlseq.agents.replay_agent import Row
from rlseq.agents.sequences import rows_at, stored_carry, unroll
from rlseq.agents.shifts import random_shift
from rlseq.agents.updates import gradient_step
from rlseq.agents.value_heads import ValueHead
from rlseq.replay.ring import ring_length
from rlseq.replay.starts import Starts, StartSampler
from rlseq.rl.devices import split_sequences
from rlseq.rl.losses import masked_mean
from rlseq.rl.n_step import NStep, n_step
from rlseq.types import Carry, Metrics, Params, PyTree, Ring


class LearnerState(NamedTuple):
    """What updates change."""

    network: Params
    target: Params | None  # None where it would always equal the network
    optimiser: optax.OptState
    updates: Array  # [] int32


class QBatch(NamedTuple):
    """B sequences; T steps are learned from. Without a memory obs is that of T steps, and
    following [T, B, ...] what they are bootstrapped from; with one obs holds all steps from the
    burn-in on, and following is None."""

    carry: Carry  # of the core, [B, ...]
    obs: Array
    following: Array | None
    reset: Array  # bool, of obs
    action: Array  # int32 [T, B]
    returns: NStep  # [T, B]
    weight: Array  # [B]


class QLearner:
    """Configuration and networks; what updates change is in `LearnerState`."""

    def __init__(
        self,
        config: R2D2Config,
        network: DuelingNetwork,
        head: ValueHead,
        frames: FrameStack,
        starts: StartSampler,
        *,
        memory: bool,
        last_reset: int,
    ):
        self.config = config
        self.network: Any = network  # flax gives the results of `apply` no types
        self.head = head
        self.frames = frames
        self.starts = starts
        self.memory = memory  # whether the core has any
        self.last_reset = last_reset  # updates before it
        self.window = config.window(memory=memory)
        # With a target that follows at once there is none.
        self.has_target = config.target_period > 1 or config.target_rate < 1
        adam = optax.adamw(config.lr, eps=config.adam_eps, weight_decay=config.weight_decay)
        self.optimiser = optax.chain(optax.clip_by_global_norm(config.max_grad_norm), adam)

    def begin(self, network: Params, updates: Array) -> LearnerState:
        """From a network, its target the same, after so many updates, int32 []."""
        target = network if self.has_target else None
        return LearnerState(network, target, self.optimiser.init(network), updates)

    def learn_once(
        self, ring: Ring, old: tuple[LearnerState, PyTree], key: Array
    ) -> tuple[tuple[LearnerState, PyTree], Metrics]:
        """One update of (learner, sampler) on sequences of the ring: (both anew, losses)."""
        c = self.config
        learner, sampler = old
        draw_key, shift_key = jax.random.split(key)
        starts = self.starts.draw(sampler, ring, self.window, c.batch, draw_key)
        batch = split_sequences(self.batch(ring, starts, learner.updates, shift_key))
        new = gradient_step(
            self.loss, self.optimiser, learner.network, learner.optimiser, learner.target, batch
        )
        metrics, error = new.aux
        sampler = self.starts.update(sampler, starts, self.priority(error, batch.returns.mask))
        count = learner.updates + 1
        target = self._follow(learner.target, new.params, count)
        learner = LearnerState(new.params, target, new.optimiser, count)
        return (learner, sampler), metrics | {"grad_norm": new.norm}

    def priority(self, error: Array, mask: Array) -> Array:
        """[B] of sequences with errors [T, B] where the mask, bool [T, B], is True."""
        mix = self.config.priority_mix
        largest = jnp.where(mask, error, 0).max(0)
        return mix * largest + (1 - mix) * jax.vmap(masked_mean, (1, 1))(error, mask)

    def batch(self, ring: Ring, starts: Starts, updates: Array, key: Array) -> QBatch:
        """The sequences that begin at `starts`, whose first frames - 1 rows are only stacked."""
        c = self.config
        rows: Row = ring.rows
        env, at = rows_at(ring, starts, c.burn_in + c.length + c.horizon, skip=c.frames - 1)
        learned = slice(c.burn_in, None)
        reward, terminated, cut, reset = (
            x[env, at] for x in (rows.reward, rows.terminated, rows.truncated, rows.reset)
        )
        n, gamma = self.annealed(updates)
        returns = n_step(reward[learned], terminated[learned], cut[learned], n, gamma, c.horizon)
        mine = slice(c.burn_in, c.burn_in + c.length)
        action = rows.action[env[mine], at[mine]]
        carry = stored_carry(rows.carry, env, at)
        if self.memory:
            obs = self._observations(rows, env, at, key)
            return QBatch(carry, obs, None, reset, action, returns, starts.weight)
        key, next_key = jax.random.split(key)
        after = (at[mine] + returns.steps) % ring_length(ring)
        obs = self._observations(rows, env[mine], at[mine], key)
        following = self._observations(rows, env[mine], after, next_key)
        return QBatch(carry, obs, following, reset[mine], action, returns, starts.weight)

    def annealed(self, updates: Array) -> tuple[Array, Array]:
        """(n, gamma) after so many updates: int32 [], float32 []; they begin anew with a reset."""
        c = self.config
        since = updates
        if c.reset_every:
            reset = updates // c.reset_every * c.reset_every
            since = updates - jnp.minimum(reset, self.last_reset)
        part = jnp.clip(since.astype(jnp.float32) / c.anneal, 0, 1) if c.anneal else jnp.float32(1)
        n = c.n_step_first * (c.n_step / c.n_step_first) ** part
        rest = (1 - c.gamma_first + 1e-8) * (
            (1 - c.gamma + 1e-8) / (1 - c.gamma_first + 1e-8)
        ) ** part
        return jnp.round(n).astype(jnp.int32), 1 - rest

    def loss(
        self, network: Params, target: Params | None, batch: QBatch
    ) -> tuple[Array, tuple[Metrics, Array]]:
        """The weighted mean of the head's losses, and the errors [T, B]."""
        outputs, online, slow = self.outputs(network, target, batch)
        best = self.head.values(online).argmax(-1)
        wanted = self.head.target(batch.returns.reward, batch.returns.discount, _of(slow, best))
        taken = _of(outputs, batch.action)
        losses, error = self.head.errors(taken, lax.stop_gradient(wanted))
        loss = masked_mean(losses * batch.weight[None], batch.returns.mask)
        value = masked_mean(self.head.values(taken), batch.returns.mask)
        return loss, ({"loss/value": loss, "value": value}, lax.stop_gradient(error))

    def outputs(
        self, network: Params, target: Params | None, batch: QBatch
    ) -> tuple[Array, Array, Array]:
        """Outputs [T, B, A, K] of the steps, and of what follows n steps later by the network and
        by its target."""
        c, b = self.config, batch
        if not self.memory:
            again = partial(self.network.apply, carry=b.carry, reset=b.reset)
            outputs = again(network, obs=b.obs)[1]
            online = lax.stop_gradient(again(network, obs=b.following)[1])
            slow = online if target is None else again(target, obs=b.following)[1]
            return outputs, online, slow
        again = partial(
            unroll, self.network.apply, carry=b.carry, obs=b.obs, reset=b.reset, burn_in=c.burn_in
        )
        outputs = again(network)
        slow = outputs if target is None else again(target)
        steps = jnp.arange(c.length, dtype=jnp.int32)[:, None] + b.returns.steps
        index = jnp.expand_dims(steps, (-1, -2))
        online, slow = (jnp.take_along_axis(x, index, axis=0) for x in (outputs, slow))
        return outputs[: c.length], lax.stop_gradient(online), lax.stop_gradient(slow)

    def _observations(self, rows: Row, env: Array, at: Array, key: Array) -> Array:
        """Those of indices [T, B] of the replay; images stacked and shifted."""
        obs = self.frames.gather(rows.obs, rows.reset, env, at)
        if not self.config.shift:
            return obs
        return random_shift(key, obs, self.config.shift)

    def _follow(self, target: Params | None, network: Params, count: Array) -> Params | None:
        c = self.config
        if target is None:
            return None
        due = count % c.target_period == 0
        move = partial(optax.incremental_update, network, target, c.target_rate)
        if c.target_period == 1:
            return move()
        return jax.tree.map(partial(jnp.where, due), move(), target)


def _of(outputs: Array, action: Array) -> Array:
    """outputs [T, B, A, K] of actions [T, B]: [T, B, K]."""
    index = jnp.expand_dims(action, (-1, -2))
    return jnp.take_along_axis(outputs, index, axis=-2)[..., 0, :]
