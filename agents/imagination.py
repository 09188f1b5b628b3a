"""Learning in imagination (Drama, Wang et al. 2410.08893) with any world model and any core.

Every round acts for some steps, trains the world model on sequences of the replay, imagines what
would follow and improves actor and critic on that alone, all in one jitted program.
"""

from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from jax import Array, lax

from rlseq.agents import imagined
from rlseq.agents.acting import Actor, mark_batched, start_actor
from rlseq.agents.behaviour import ActorParams, Behaviour, BehaviourState
from rlseq.agents.experience import as_row, collect_rows
from rlseq.agents.exploration import uniform_where
from rlseq.agents.imagination_learner import Learner, LearnerState, ModelState
from rlseq.agents.imagination_settings import ImaginationConfig, check
from rlseq.agents.metrics import Episodes, training_metrics
from rlseq.agents.replay_agent import learn_when
from rlseq.agents.types import AgentPart
from rlseq.cores.dtypes import around
from rlseq.envs.spaces import describe
from rlseq.envs.wrappers import with_statistics
from rlseq.errors import InputError
from rlseq.replay.ring import sequences
from rlseq.replay.samplers import make_sampler
from rlseq.replay.store import Replay, ReplayState
from rlseq.types import Metrics, Params, PyTree, VecEnv
from rlseq.world_models import make_world_model
from rlseq.world_models.types import WorldCarry, WorldModel


class PolicyParams(NamedTuple):
    """All that acting needs."""

    model: Params
    actor: ActorParams


class ImaginationState(NamedTuple):
    """All that training needs; every leaf is an array."""

    model: ModelState
    behaviour: BehaviourState
    replay: ReplayState
    actor: Actor
    updates: Array  # [] int32, rounds
    key: Array


class Imagination:
    """The agent: configuration and networks; progress lives in `ImaginationState`.

    Raises InputError for hyper-parameters out of range, windows that the data cannot fill, actions
    that are not one choice of several, and what the world model refuses.
    """

    Config: ClassVar[type] = ImaginationConfig
    needs_world_model: ClassVar[bool] = True
    steps_environment: ClassVar[bool] = True

    def __init__(
        self,
        env: VecEnv,
        config: ImaginationConfig,
        core: dict[str, Any],
        num_updates: int,
        world_model: dict[str, Any] | None = None,
    ):
        del num_updates  # nothing is scheduled over the run
        check(config, env.num_envs)
        space = env.spec.action_space
        if not isinstance(space, spaces.Discrete):
            raise InputError(f"imagination needs Discrete actions, got {describe(space)}")
        self.env = with_statistics(env)
        self.config = config
        self.num_actions = int(space.n)
        self.model: WorldModel = make_world_model(
            obs_space=env.spec.obs_space,
            num_actions=self.num_actions,
            core=core,
            **(world_model or {"name": "drama"}),
        )
        size = self.model.latent_size + self.model.hidden_size
        dtype = around(core.get("dtype", "float32"))
        self.behaviour = Behaviour(config, size, self.num_actions, self.model.two_hot, dtype)
        self.steps_per_update = self.update_steps(config, env.num_envs)
        sampler = make_sampler(
            config.sampling,
            ratio=config.contexts / config.batch,
            rate=config.batch * config.updates / self.steps_per_update,
        )
        self.replay = Replay(config.capacity // env.num_envs, sampler)
        self.learner = Learner(config, self.model, self.behaviour, self.replay)

    @staticmethod
    def update_steps(config: ImaginationConfig, num_envs: int) -> int:
        """`num_steps` in every environment, then as many updates as configured."""
        return num_envs * config.num_steps

    @partial(jax.jit, static_argnums=0)
    def init(self, key: Array) -> ImaginationState:
        """Fresh parameters and episodes, and an empty replay."""
        key, model_key, behaviour_key, env_key, act_key = jax.random.split(key, 5)
        envs = self.env.num_envs
        actor = start_actor(self.env, self.init_carry(envs), env_key, act_key)
        row = as_row(actor.carry, actor.timestep, jnp.zeros(envs, jnp.int32), actor.timestep)
        return ImaginationState(
            model=self.learner.init_model(model_key),
            behaviour=self.behaviour.init(behaviour_key),
            replay=self.replay.init(row),
            actor=actor,
            updates=jnp.zeros((), jnp.int32),
            key=key,
        )

    def init_carry(self, batch: int) -> WorldCarry:
        """The memory of `batch` fresh episodes."""
        return self.model.init_carry(batch)

    def policy_params(self, state: ImaginationState) -> PolicyParams:
        """What `act` needs of a state."""
        return PolicyParams(state.model.params, state.behaviour.actor)

    def parameters(self, state: ImaginationState) -> Any:
        """What a warm start takes: the world model, actor, critic, statistics of the features."""
        return state.model.params, state.behaviour.params, state.behaviour.moments

    def with_copies(self, state: ImaginationState) -> ImaginationState:
        """The slow critic is the critic."""
        behaviour = state.behaviour
        return state._replace(behaviour=behaviour._replace(slow=behaviour.params.critic))

    def batched(self, state: ImaginationState) -> ImaginationState:
        """True for every leaf of a state whose first axis is the environments."""
        return mark_batched(state, "replay")

    @partial(jax.jit, static_argnums=0, static_argnames="greedy")
    def act(
        self,
        params: PolicyParams,
        carry: WorldCarry,
        obs: PyTree,
        reset: Array,
        key: Array,
        *,
        greedy: bool = False,
    ) -> tuple[WorldCarry, Array]:
        """Actions for obs [B, ...], reset bool [B]: samples, or the modes when greedy."""
        return self._act(params, carry, obs, reset, key, greedy=greedy)

    def _act(
        self,
        params: PolicyParams,
        carry: WorldCarry,
        obs: PyTree,
        reset: Array,
        key: Array,
        *,
        greedy: bool = False,
        random: Array | None = None,
    ) -> tuple[WorldCarry, Array]:
        """One step of the core, whatever came before; uniform actions where `random` bool []."""
        see_key, act_key, random_key = jax.random.split(key, 3)
        seen = self.model.perceive(params.model, carry, obs, reset, see_key)
        latent = seen.latent if self.config.act_on == "posterior" else seen.guess
        policy = self.behaviour.policy(params.actor, imagined.features(latent, seen.hidden))
        action = policy.mode() if greedy else policy.sample(act_key)
        if random is not None:
            action = uniform_where(random, action, self.num_actions, random_key)
        return self.model.advance(params.model, carry, seen.latent, action, reset), action

    def parts(self) -> dict[str, AgentPart]:
        """What an update consists of beside the environment.

        "learning" is an update of world model and behaviour, "model" that of the world model alone.
        """
        c = self.config

        def acting(state: ImaginationState, key: Array) -> Any:
            ts = state.actor.timestep
            return self._act(self.policy_params(state), state.actor.carry, ts.obs, ts.reset, key)

        def model(state: ImaginationState, key: Array) -> Any:
            starts = jnp.arange(c.batch, dtype=jnp.int32)
            rows = sequences(state.replay.ring, starts, c.length)
            return self.learner.train_model(state.model, rows, key)

        def learning(state: ImaginationState, key: Array) -> Any:
            old = _learner(state, state.replay)
            return self.learner.learn_once(state.replay.ring, old, key)

        return {
            "acting": AgentPart(acting, c.num_steps),
            "model": AgentPart(model, c.updates),
            "learning": AgentPart(learning, c.updates),
        }

    @partial(jax.jit, static_argnums=(0, 2))
    def train(self, state: ImaginationState, num_updates: int) -> tuple[ImaginationState, Metrics]:
        """`num_updates` rounds of acting and learning; losses are means over those that learned.

        "updates" are those of the world model, of which there are none in the warm-up.
        """
        state, (episodes, losses, learned) = lax.scan(self._round, state, None, num_updates)
        updates = learned.sum(dtype=jnp.int32).astype(jnp.float32) * self.config.updates
        return state, training_metrics(episodes, losses, learned) | {"updates": updates}

    def _round(
        self, state: ImaginationState, _: None
    ) -> tuple[ImaginationState, tuple[Episodes, Metrics, Array]]:
        """Some steps, then as many updates as configured, once the warm-up is over."""
        c = self.config
        # In rounds: the product with their steps would leave an int32 long before them.
        warmup = -(-c.warmup // self.steps_per_update)
        act = partial(self._act, self.policy_params(state), random=state.updates < warmup)
        actor, replay, episodes = collect_rows(
            self.env, act, state.actor, self.replay, state.replay, c.num_steps, as_row,
            keep_terminal_frame=c.keep_terminal_frame,
        )  # fmt: skip
        key, learn_key = jax.random.split(state.key)
        old = _learner(state, replay)
        learn = partial(self.learner.learn, replay.ring)
        ready = state.updates + 1 >= warmup
        new, losses = learn_when(ready, learn, old, learn_key)
        replay = replay._replace(sampler=new.sampler)
        state = ImaginationState(new.model, new.behaviour, replay, actor, state.updates + 1, key)
        return state, (episodes, losses, ready)


def _learner(state: ImaginationState, replay: ReplayState) -> LearnerState:
    return LearnerState(state.model, state.behaviour, replay.sampler)
