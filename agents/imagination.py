"""Learning in imagination (Drama, Wang et al. 2410.08893) with any world model and any core.

Every round plays some steps, trains the world model on sequences of the replay, imagines what would
follow and improves actor and critic on that alone, all in one jitted program.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from gymnax.environments import spaces
from jax import Array, lax

from rlseq.agents import dreams
from rlseq.agents.behaviour import ActorParams, Behaviour, BehaviourState
from rlseq.agents.experience import as_row, gather
from rlseq.agents.imagination_settings import ImaginationConfig, check
from rlseq.agents.rollout import Actor, Episodes, episode_metrics
from rlseq.envs.spaces import describe
from rlseq.envs.wrappers import EpisodeStatistics
from rlseq.errors import InputError
from rlseq.rl.optimisers import gradient_norm
from rlseq.types import Metrics, Observed, Params, PyTree, Sequences, VecEnv, WorldCarry, WorldModel
from rlseq.world_models import make_world_model
from rlseq.world_models.replay import Replay, allowed_starts, count, init_replay, windows
from rlseq.world_models.sampling import draw, model_scores, policy_scores


class PolicyParams(NamedTuple):
    """All that acting needs."""

    model: Params
    actor: ActorParams


class ModelState(NamedTuple):
    """The world model and its optimiser."""

    params: Params
    optimiser: optax.OptState


class ImaginationState(NamedTuple):
    """All that training needs; every leaf is an array."""

    model: ModelState
    behaviour: BehaviourState
    replay: Replay
    actor: Actor
    rounds: Array  # [] int32
    key: Array


class Learning(NamedTuple):
    """What a round of updates changes; the experience itself is only read."""

    model: ModelState
    behaviour: BehaviourState
    model_draws: Array  # [E, L]
    policy_draws: Array  # [E, L]


class Imagination:
    """The agent: configuration and networks; progress lives in `ImaginationState`.

    Raises InputError for hyper-parameters out of range, windows that the data cannot fill, actions
    that are not one choice of several, and what the world model refuses.
    """

    Config: ClassVar[type] = ImaginationConfig
    needs_world_model: ClassVar[bool] = True

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
        self.env = EpisodeStatistics(env)
        self.config = config
        self.num_actions = int(space.n)
        self.model: WorldModel = make_world_model(
            obs_space=env.spec.obs_space,
            num_actions=self.num_actions,
            core=core,
            **(world_model or {"name": "drama"}),
        )
        size = self.model.latent_size + self.model.hidden_size
        self.behaviour = Behaviour(config, size, self.num_actions)
        self.optimiser = self.model.optimiser()
        self.steps_per_update = env.num_envs * config.num_steps

    @partial(jax.jit, static_argnums=0)
    def init(self, key: Array) -> ImaginationState:
        """Fresh parameters and episodes, and an empty replay."""
        key, model_key, behaviour_key, env_key, act_key = jax.random.split(key, 5)
        params = self.model.init(model_key)
        env_state, ts = self.env.reset(env_key)
        envs = self.env.num_envs
        row = as_row(ts, jnp.zeros(envs, jnp.int32), ts)
        return ImaginationState(
            model=ModelState(params, self.optimiser.init(params)),
            behaviour=self.behaviour.init(behaviour_key),
            replay=init_replay(row, self.config.capacity // envs),
            actor=Actor(env_state, ts, self.init_carry(envs), act_key),
            rounds=jnp.zeros((), jnp.int32),
            key=key,
        )

    def init_carry(self, batch: int) -> WorldCarry:
        """The memory of `batch` fresh episodes."""
        return self.model.init_carry(batch)

    def policy_params(self, state: ImaginationState) -> PolicyParams:
        """What `act` needs of a state."""
        return PolicyParams(state.model.params, state.behaviour.actor)

    def batched(self, state: ImaginationState) -> ImaginationState:
        """True for every leaf of a state whose first axis is the environments."""
        whole = jax.tree.map(lambda _: False, state)
        every = jax.tree.map(lambda _: True, (state.replay, state.actor))
        return whole._replace(replay=every[0], actor=every[1]._replace(key=False))

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
        policy = self.behaviour.policy(params.actor, dreams.features(latent, seen.hidden))
        action = policy.mode() if greedy else policy.sample(act_key)
        if random is not None:
            any_action = jax.random.randint(
                random_key, action.shape, 0, self.num_actions, jnp.int32
            )
            action = jnp.where(random, any_action, action)
        return self.model.advance(params.model, carry, seen.latent, action, reset), action

    def parts(self) -> dict[str, tuple[Callable[[ImaginationState, Array], Any], int]]:
        """What a round consists of beside the environment: (function, how often), by name.

        "learning" is an update of world model and behaviour, "model" that of the world model alone.
        """
        c = self.config

        def acting(state: ImaginationState, key: Array) -> Any:
            ts = state.actor.timestep
            return self._act(self.policy_params(state), state.actor.carry, ts.obs, ts.reset, key)

        def model(state: ImaginationState, key: Array) -> Any:
            rows = windows(state.replay, jnp.arange(c.batch, dtype=jnp.int32), c.length)
            return self.train_model(state.model, rows, key)

        def learning(state: ImaginationState, key: Array) -> Any:
            return self._learn_once(state.replay, _learning(state, state.replay), key)

        times = {"acting": c.num_steps, "model": c.updates, "learning": c.updates}
        made = {"acting": acting, "model": model, "learning": learning}
        return {name: (made[name], times[name]) for name in made}

    @partial(jax.jit, static_argnums=(0, 2))
    def train(self, state: ImaginationState, num_updates: int) -> tuple[ImaginationState, Metrics]:
        """`num_updates` rounds of acting and learning; metrics are means over those that learned.

        "return" and "length" are means over the "episodes" that ended within, 0 when none did;
        "valid_steps" are those whose action was not ignored, "updates" those of the world model, of
        which there are none in the warm-up.
        """
        state, (episodes, metrics, learned) = lax.scan(self._round, state, None, num_updates)
        rounds = learned.sum()
        finite = jnp.all(jnp.stack([jnp.isfinite(v).all() for v in metrics.values()]))
        return state, {
            **episode_metrics(episodes),
            **{k: v.sum() / jnp.maximum(rounds, 1) for k, v in metrics.items()},
            "updates": rounds * self.config.updates,
            "finite": finite.astype(jnp.float32),
        }

    def _round(
        self, state: ImaginationState, _: None
    ) -> tuple[ImaginationState, tuple[Episodes, Metrics, Array]]:
        """Some steps, then as many updates as configured, once the warm-up is over."""
        c = self.config
        # In rounds: the product with their steps would leave an int32 long before them.
        warmup = -(-c.warmup // self.steps_per_update)
        act = partial(self._act, self.policy_params(state), random=state.rounds < warmup)
        actor, replay, episodes = gather(
            self.env, act, state.actor, state.replay, c.num_steps,
            keep_terminal_frame=c.keep_terminal_frame,
        )  # fmt: skip
        key, learn_key = jax.random.split(state.key)
        old = _learning(state, replay)
        learn = partial(self._learn, replay)
        shapes = jax.eval_shape(learn, old, learn_key)[1]
        nothing = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        # All seeds are in the same round, so that also under vmap only one side is computed.
        ready = of_all_seeds(state.rounds + 1 >= warmup)
        new, metrics = lax.cond(ready, learn, lambda old, _: (old, nothing), old, learn_key)
        replay = Replay(replay.ring, new.model_draws, new.policy_draws)
        state = ImaginationState(new.model, new.behaviour, replay, actor, state.rounds + 1, key)
        return state, (episodes, metrics, ready.astype(jnp.float32))

    def _learn(self, replay: Replay, old: Learning, key: Array) -> tuple[Learning, Metrics]:
        """`updates` of the world model and of the behaviour each; metrics are their means."""
        keys = jax.random.split(key, self.config.updates)
        new, metrics = lax.scan(partial(self._learn_once, replay), old, keys)
        return new, jax.tree.map(jnp.mean, metrics)

    def _learn_once(self, replay: Replay, old: Learning, key: Array) -> tuple[Learning, Metrics]:
        draw_key, model_key, start_key, dream_key, study_key = jax.random.split(key, 5)
        places = self._draw_model(replay, old, draw_key)
        rows = windows(replay, places, self.config.length)
        model, seen, model_metrics = self.train_model(old.model, rows, model_key)
        old = old._replace(model=model, model_draws=count(old.model_draws, places))
        start, old = self._start(replay, old, rows, seen, start_key)
        policy = partial(self.behaviour.policy, old.behaviour.actor)
        dream = dreams.dream(
            self.model, model.params, policy, start, self.config.horizon, dream_key
        )
        behaviour, metrics = self.behaviour.improve(old.behaviour, dream, study_key)
        return old._replace(behaviour=behaviour), model_metrics | metrics

    def train_model(
        self, state: ModelState, rows: Sequences, key: Array
    ) -> tuple[ModelState, Observed, Metrics]:
        """One update of the world model on sequences [T, B]."""
        gradients, (parts, seen) = jax.grad(self.model.loss, has_aux=True)(state.params, rows, key)
        # optax's bias correction mixes dtypes, which a strict caller's JAX would refuse.
        with jax.numpy_dtype_promotion("standard"):
            changes, optimiser = self.optimiser.update(gradients, state.optimiser, state.params)
        params: Any = optax.apply_updates(state.params, changes)
        metrics = {f"loss/{name}": value for name, value in parts.items()}
        metrics["model_grad_norm"] = gradient_norm(gradients)
        return ModelState(params, optimiser), seen, metrics

    def _draw_model(self, replay: Replay, old: Learning, key: Array) -> Array:
        c = self.config
        scores = model_scores(old.model_draws)
        return self._draw(replay, scores, key, c.batch, c.length)

    def _start(
        self, replay: Replay, old: Learning, rows: Sequences, seen: Observed, key: Array
    ) -> tuple[dreams.Start, Learning]:
        """Where imagination begins, and the counts after it."""
        c, params = self.config, old.model.params
        if c.starts == "batch":
            return dreams.from_batch(self.model, params, rows, seen, c.start_every), old
        draw_key, see_key = jax.random.split(key)
        scores = policy_scores(old.model_draws, old.policy_draws, c.contexts / c.batch)
        places = self._draw(replay, scores, draw_key, c.contexts, c.context)
        contexts = windows(replay, places, c.context)
        start = dreams.from_contexts(
            self.model, params, contexts, see_key, after=c.act_on == "prior"
        )
        return start, old._replace(policy_draws=count(old.policy_draws, places))

    def _draw(self, replay: Replay, scores: Array, key: Array, number: int, length: int) -> Array:
        if self.config.sampling == "uniform":
            scores = jnp.zeros_like(scores)
        allowed = allowed_starts(replay, length)
        return draw(key, scores.reshape(-1), allowed.reshape(-1), number)


def _learning(state: ImaginationState, replay: Replay) -> Learning:
    return Learning(state.model, state.behaviour, replay.model_draws, replay.policy_draws)


@jax.custom_batching.custom_vmap
def of_all_seeds(x: Array) -> Array:
    """x, which is the same for all members of a vmap: so it stays one value under it."""
    return x


@of_all_seeds.def_vmap
def _of_all_seeds(members: int, batched: list[bool], x: Array) -> tuple[Array, bool]:
    return (of_all_seeds(x[0]) if batched[0] else x), False
