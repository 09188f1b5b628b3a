"""Q-learning from a replay of sequences (R2D2, Kapturowski et al. 2019), with any core.

With a core that remembers, sequences are replayed from the memory that acted, after steps that only
bring it up to date. With one that does not, only the images that a loss reads are ever encoded:
the settings of data-efficient Rainbow and DrQ are then a batch of single steps.
"""

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from jax import Array, lax

from rlseq.agents.exploration import EpsilonGreedy, linear_epsilon
from rlseq.agents.frames import FrameStack
from rlseq.agents.networks import DuelingNetwork, make_encoder
from rlseq.agents.observations import Observations
from rlseq.agents.r2d2_learner import LearnerState, QLearner
from rlseq.agents.r2d2_settings import R2D2Config, check
from rlseq.agents.replay_agent import ReplayAgent, ReplayAgentState
from rlseq.agents.sequences import has_memory
from rlseq.agents.value_heads import make_value_head
from rlseq.cores import make_core
from rlseq.cores.dtypes import around
from rlseq.envs.spaces import describe
from rlseq.errors import InputError
from rlseq.replay.starts import PrioritisedStarts, UniformStarts
from rlseq.replay.store import Replay
from rlseq.rl.branches import unbatched
from rlseq.types import Carry, Metrics, Params, PyTree, Ring, VecEnv


class QCarry(NamedTuple):
    """The memory of acting."""

    frames: Carry  # the images before
    core: Carry


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
            raise InputError("agent.frames and agent.shift are for images, not for vectors")
        self.core = make_core(**core)
        memory = has_memory(self.core)
        if not memory:
            config = replace(config, burn_in=0)
        check(config, env.num_envs, env.spec.max_steps, memory)
        starts: Any = UniformStarts()
        if config.sampling == "prioritised":
            starts = PrioritisedStarts(config.priority_exponent, config.importance_exponent)
        super().__init__(env, config, observations, Replay(config.capacity // env.num_envs, starts))
        self.frames = FrameStack(config.frames, env.spec.obs_space)
        self.head = make_value_head(config.value_head, config.atoms, config.limit)
        self.network: Any = self._make_network(env.spec.obs_space, int(space.n))
        self.learner = QLearner(
            config, self.network, self.head, self.frames, starts,
            memory=memory, last_reset=_last_reset(num_updates - self.warmup_rounds + 1, config),
        )  # fmt: skip

    def init_carry(self, batch: int) -> QCarry:
        """The memory of `batch` fresh episodes."""
        return QCarry(self.frames.init_carry(batch), self.network.init_carry(batch))

    def stored(self, carry: QCarry) -> Carry:
        """The core's: images are in the replay already."""
        return carry.core

    def init_learner(self, key: Array) -> LearnerState:
        """Fresh networks; the target is the network."""
        return self.learner.begin(self._init_network(key), jnp.zeros((), jnp.int32))

    def policy_params(self, state: ReplayAgentState) -> Params:
        """The network's parameters."""
        return state.learner.network

    def parameters(self, state: ReplayAgentState) -> Params:
        """What a warm start takes: the network."""
        return state.learner.network

    def with_copies(self, state: ReplayAgentState) -> ReplayAgentState:
        """The target is the network."""
        return state._replace(
            learner=self.learner.begin(state.learner.network, state.learner.updates)
        )

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
        return self.learner.learn_once(ring, old, key)

    def renew(self, learner: LearnerState, key: Array) -> LearnerState:
        """Every `reset_every` updates core and heads begin anew, the encoder in part.

        Not where less than half of that remains of the run.
        """
        every = self.config.reset_every
        if not every:
            return learner
        count = learner.updates
        due = (count % every == 0) & (count <= self.learner.last_reset)
        return lax.cond(unbatched(due), self._reset, lambda old, _: old, learner, key)

    def _reset(self, old: LearnerState, key: Array) -> LearnerState:
        fresh, keep = self._init_network(key), self.config.shrink

        def mix(path: Any, a: Array, b: Array) -> Array:
            if "encoder" not in jax.tree_util.keystr(path):
                return b
            return keep * a + (1 - keep) * b

        network = jax.tree_util.tree_map_with_path(mix, old.network, fresh)
        return self.learner.begin(network, old.updates)

    def _make_network(self, obs_space: spaces.Space, num_actions: int) -> DuelingNetwork:
        c = self.config
        widths, stream = ((width,) if width else () for width in (c.encoder, c.head))
        encoder = make_encoder(c.encoder_kind, obs_space, widths, dtype=around(self.core.dtype))
        return DuelingNetwork(
            (encoder,), (self.core,), num_actions, self.head.atoms, stream, c.dueling
        )

    def _init_network(self, key: Array) -> Params:
        frames, core = self.init_carry(1)
        first = jnp.ones(1, bool)
        obs = self.frames.push(frames, self.observations.nothing(1), first)[1]
        return self.network.init(key, core, obs, first, method="step")


def _last_reset(learning_rounds: int, config: R2D2Config) -> int:
    """The number of updates before the last reset of a run; 0 where there is none."""
    every = config.reset_every
    updates = max(0, learning_rounds) * config.updates
    return max(0, (updates - every // 2) // every * every) if every else 0
