"""Q-learning from a replay of sequences (R2D2, Kapturowski et al. 2019), with any core.

With a core that remembers, sequences are replayed from the memory that acted, after steps that only
bring it up to date. With one that does not, only the pictures that a loss reads are ever encoded:
the settings of data-efficient Rainbow and DrQ are then a batch of single steps.
"""

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnax.environments import spaces
from jax import Array, lax

from rlseq.agents.exploration import EpsilonGreedy, linear_epsilon
from rlseq.agents.frames import FrameStack
from rlseq.agents.networks import DuelingNetwork, make_encoder
from rlseq.agents.observations import Observations
from rlseq.agents.r2d2_settings import R2D2Config, check, value_head
from rlseq.agents.replay_agent import ReplayAgent, ReplayAgentState, Row
from rlseq.agents.shifts import random_shift
from rlseq.agents.unbatched import unbatched
from rlseq.agents.updates import gradient_step
from rlseq.cores import make_core
from rlseq.envs.spaces import describe
from rlseq.errors import InputError
from rlseq.replay.ring import ring_length
from rlseq.replay.starts import PrioritisedStarts, Starts, UniformStarts
from rlseq.replay.store import Replay
from rlseq.rl.losses import masked_mean
from rlseq.rl.n_step import NStep, n_step
from rlseq.types import Carry, Metrics, Params, PyTree, Ring, VecEnv


class LearnerState(NamedTuple):
    """What updates change."""

    network: Params
    target: Params | None  # None where it would always equal the network
    optimiser: optax.OptState
    updates: Array  # [] int32


class QCarry(NamedTuple):
    """The memory of acting."""

    frames: Carry  # the pictures before
    core: Carry


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


class R2D2(ReplayAgent):
    """The agent: configuration and networks; progress lives in `ReplayAgentState`.

    Raises InputError for hyper-parameters out of range, sequences that the replay cannot hold,
    actions that are not one choice of several, and an encoder, a stack of frames or a shift that
    does not fit the observations.
    """

    Config: ClassVar[type] = R2D2Config

    def __init__(
        self,
        env: VecEnv,
        config: R2D2Config,
        core: dict[str, Any],
        num_updates: int,
        world_model: dict[str, Any] | None = None,
    ):
        del world_model  # `needs_world_model` is False: there is none
        space = env.spec.action_space
        if not isinstance(space, spaces.Discrete):
            raise InputError(f"r2d2 needs Discrete actions, got {describe(space)}")
        observations = Observations(env, config.encoder_kind)
        if not observations.images and (config.frames > 1 or config.shift):
            raise InputError("agent.frames and agent.shift are for pictures, not for vectors")
        self.core = make_core(**core)
        self.memory = bool(jax.tree.leaves(jax.eval_shape(lambda: self.core.init_carry(1))))
        if not self.memory:
            config = replace(config, burn_in=0)
        check(config, env.num_envs, env.spec.max_steps, self.memory)
        starts: Any = UniformStarts()
        if config.sampling == "prioritised":
            starts = PrioritisedStarts(config.priority_exponent, config.importance_exponent)
        super().__init__(env, config, observations, Replay(config.capacity // env.num_envs, starts))
        self.frames = FrameStack(config.frames, env.spec.obs_space)
        self.head = value_head(config)
        widths, stream = ((width,) if width else () for width in (config.encoder, config.head))
        encoder = make_encoder(config.encoder_kind, env.spec.obs_space, widths)
        self.network: Any = DuelingNetwork(
            (encoder,), (self.core,), int(space.n), self.head.atoms, stream, config.dueling
        )
        adam = optax.adamw(config.lr, eps=config.adam_eps, weight_decay=config.weight_decay)
        self.optimiser = optax.chain(optax.clip_by_global_norm(config.max_grad_norm), adam)
        # With a target that follows at once there is none.
        self.has_target = config.target_period > 1 or config.target_rate < 1
        self.all_updates = max(0, num_updates - self.warmup_rounds + 1) * config.updates

    def init_carry(self, batch: int) -> QCarry:
        """The memory of `batch` fresh episodes."""
        return QCarry(self.frames.init_carry(batch), self.network.init_carry(batch))

    def stored(self, carry: QCarry) -> Carry:
        """The core's: pictures are in the replay already."""
        return carry.core

    def init_learner(self, key: Array) -> LearnerState:
        """Fresh networks; the target is the network."""
        network = self._init_network(key)
        target = network if self.has_target else None
        return LearnerState(network, target, self._optimiser(network), jnp.zeros((), jnp.int32))

    def policy_params(self, state: ReplayAgentState) -> Params:
        """The network's parameters."""
        return state.learner.network

    def policy(
        self,
        params: Params,
        carry: QCarry,
        obs: Array,
        reset: Array,
        epsilon: float | Array | None = None,
    ) -> tuple[QCarry, EpsilonGreedy, Array]:
        """One step on flattened obs [B, ...]: (carry, actions [B], the largest values [B])."""
        frames, stack = self.frames.push(carry.frames, obs, reset)
        core, outputs = self.network.apply(params, carry.core, stack, reset, method="step")
        values = self.head.values(outputs)
        share = self.config.evaluation_epsilon if epsilon is None else epsilon
        policy = EpsilonGreedy(values, jnp.asarray(share, jnp.float32))
        return QCarry(frames, core), policy, values.max(-1)

    def behaviour(self, state: ReplayAgentState) -> Any:
        """Uniform actions in the warm-up; then their share falls."""
        return partial(self.policy, state.learner.network, epsilon=self.epsilon(state.updates))

    def epsilon(self, rounds: Array) -> Array:
        """float32 []: the share of uniform actions after so many rounds."""
        c = self.config
        since = jnp.maximum(rounds - self.warmup_rounds, 0)
        over = -(-c.exploration // self.steps_per_update)
        share = linear_epsilon(since, 1.0, c.epsilon_last, over)
        return jnp.where(rounds < self.warmup_rounds, jnp.float32(1), share)

    def learn_once(
        self, ring: Ring, old: tuple[LearnerState, PyTree], key: Array
    ) -> tuple[tuple[LearnerState, PyTree], Metrics]:
        """One update on sequences drawn from the replay."""
        c = self.config
        learner, sampler = old
        draw_key, shift_key = jax.random.split(key)
        starts_of: Any = self.replay.sampler
        window = c.window(memory=self.memory)
        starts = starts_of.draw(sampler, ring, window, c.batch, draw_key)
        batch = self.batch(ring, starts, learner.updates, shift_key)
        new = gradient_step(
            self.loss, self.optimiser, learner.network, learner.optimiser, learner.target, batch
        )
        metrics, error = new.aux
        mask = batch.returns.mask
        largest = jnp.where(mask, error, 0).max(0)
        mean = jax.vmap(masked_mean, (1, 1))(error, mask)
        priority = c.priority_mix * largest + (1 - c.priority_mix) * mean
        sampler = starts_of.update(sampler, starts, priority)
        count = learner.updates + 1
        target = self._follow(learner.target, new.params, count)
        learner = LearnerState(new.params, target, new.optimiser, count)
        return (learner, sampler), metrics | {"grad_norm": new.norm}

    def batch(self, ring: Ring, starts: Starts, updates: Array, key: Array) -> QBatch:
        """The sequences that begin at `starts`, whose first frames - 1 rows are only stacked."""
        c = self.config
        rows: Row = ring.rows
        size = ring_length(ring)
        first = starts.index + (c.frames - 1)
        step = jnp.arange(c.burn_in + c.length + c.horizon, dtype=jnp.int32)
        at = (first[None] + step[:, None]) % size
        env = jnp.broadcast_to(starts.env[None], at.shape)
        learned = slice(c.burn_in, None)
        reward, terminated, cut, reset = (
            x[env, at] for x in (rows.reward, rows.terminated, rows.truncated, rows.reset)
        )
        n, gamma = self.annealed(updates)
        returns = n_step(reward[learned], terminated[learned], cut[learned], n, gamma, c.horizon)
        mine = slice(c.burn_in, c.burn_in + c.length)
        action = rows.action[env[mine], at[mine]]
        carry = jax.tree.map(lambda x: x[starts.env, first % size], rows.carry)
        if self.memory:
            obs = self._pictures(rows, env, at, key)
            return QBatch(carry, obs, None, reset, action, returns, starts.weight)
        key, next_key = jax.random.split(key)
        after = (at[mine] + returns.steps) % size
        obs = self._pictures(rows, env[mine], at[mine], key)
        following = self._pictures(rows, env[mine], after, next_key)
        return QBatch(carry, obs, following, reset[mine], action, returns, starts.weight)

    def annealed(self, updates: Array) -> tuple[Array, Array]:
        """(n, gamma) after so many updates: int32 [], float32 []."""
        c = self.config
        since = updates % c.reset_every if c.reset_every else updates
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
        outputs = self._unroll(network, b)
        slow = outputs if target is None else self._unroll(target, b)
        steps = jnp.arange(c.length, dtype=jnp.int32)[:, None] + b.returns.steps
        index = jnp.expand_dims(steps, (-1, -2))
        online, slow = (jnp.take_along_axis(x, index, axis=0) for x in (outputs, slow))
        return outputs[: c.length], lax.stop_gradient(online), lax.stop_gradient(slow)

    def renew(self, learner: LearnerState, key: Array) -> LearnerState:
        """Every `reset_every` updates core and heads begin anew, the encoder in part.

        Not where less than half of that remains of the run.
        """
        every = self.config.reset_every
        if not every:
            return learner
        count = learner.updates
        due = (count % every == 0) & (count + every // 2 <= self.all_updates)
        return lax.cond(unbatched(due), self._reset, lambda old, _: old, learner, key)

    def _reset(self, old: LearnerState, key: Array) -> LearnerState:
        fresh, keep = self._init_network(key), self.config.shrink

        def mix(path: Any, a: Array, b: Array) -> Array:
            if "encoder" not in jax.tree_util.keystr(path):
                return b
            return keep * a + (1 - keep) * b

        network = jax.tree_util.tree_map_with_path(mix, old.network, fresh)
        target = network if self.has_target else None
        return LearnerState(network, target, self._optimiser(network), old.updates)

    def _init_network(self, key: Array) -> Params:
        frames, core = self.init_carry(1)
        first = jnp.ones(1, bool)
        obs = self.frames.push(frames, self.observations.nothing(1), first)[1]
        return self.network.init(key, core, obs, first, method="step")

    def _unroll(self, params: Params, b: QBatch) -> Array:
        """Outputs of the steps after the burn-in, which has no gradient."""
        burn_in = self.config.burn_in
        carry = b.carry
        if burn_in:
            before = self.network.apply(params, carry, b.obs[:burn_in], b.reset[:burn_in])
            carry = lax.stop_gradient(before[0])
        return self.network.apply(params, carry, b.obs[burn_in:], b.reset[burn_in:])[1]

    def _pictures(self, rows: Row, env: Array, at: Array, key: Array) -> Array:
        """Observations at places [T, B] of the replay, pictures stacked and shifted."""
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

    def _optimiser(self, network: Params) -> optax.OptState:
        return self.optimiser.init(network)


def _of(outputs: Array, action: Array) -> Array:
    """outputs [T, B, A, K] of actions [T, B]: [T, B, K]."""
    index = jnp.expand_dims(action, (-1, -2))
    return jnp.take_along_axis(outputs, index, axis=-2)[..., 0, :]
