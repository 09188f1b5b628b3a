"""Stream AC(lambda) (Elsayed et al. 2410.14606) with a memory: learning at every step, no replay.

Actor and critic are two networks, each with its own memory. Eligibility traces carry what earlier
actions and predictions were due for back to them; `rlseq.online` carries forward what the memory's
parameters did to it, in place of backpropagation through time. Several environments have a trace
each, and a step is the mean of theirs.
"""

from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.agents.acting import Actor, mark_batched, start_actor, step_once
from rlseq.agents.metrics import Episodes, ended_episodes, training_metrics
from rlseq.agents.networks import action_head, make_encoder
from rlseq.agents.observations import Observations
from rlseq.agents.on_policy import PolicyParams, check_sizes
from rlseq.agents.policy_agent import PolicyAgent
from rlseq.agents.reward_scale import reward_scale
from rlseq.agents.rollout import ended_for_learner, learned_mask
from rlseq.agents.stream_settings import StreamConfig
from rlseq.agents.stream_side import Head, Memory, Seen, Side
from rlseq.cores import make_core
from rlseq.cores.dtypes import around
from rlseq.nn.distributions import Distribution
from rlseq.nn.encoders import SparseStack
from rlseq.nn.heads import PolicyHead, ValueHead
from rlseq.nn.normalisers import RunningMoments, init_moments
from rlseq.online import Encoded, make_estimator
from rlseq.types import Carry, Metrics, Params, TimeStep, VecEnv


class Memories(NamedTuple):
    """What each environment carries, leaves [E, ...]."""

    actor: Memory
    critic: Memory
    discounted: Array  # float32, sum of rewards so far, older ones worth less


class StreamStep(NamedTuple):
    """What actor and critic said of a step, with what learning from it needs."""

    actor: Seen
    policy: Distribution  # [E]
    critic: Seen
    value: Array  # float32 [E]


class StreamState(NamedTuple):
    """All that training needs; every leaf is an array."""

    params: PolicyParams
    rewards: RunningMoments  # of discounted sums
    actor: Actor  # whose carry are the `Memories`
    updates: Array  # [] int32


class Stream(PolicyAgent):
    """The agent: configuration and networks; progress lives in `StreamState`.

    Raises InputError for hyper-parameters out of range, an estimator that the core does not fit,
    actions that have no head, and an encoder or normalisation that does not fit the observations.
    """

    Config: ClassVar[type] = StreamConfig

    def __init__(
        self,
        env: VecEnv,
        config: StreamConfig,
        core: dict[str, Any],
        num_updates: int,
        world_model: dict[str, Any] | None = None,
    ):
        del world_model  # `needs_world_model` is False: there is none
        check_sizes(env.num_envs, 1, num_updates)
        normalized = config.normalize_observations
        observations = Observations(env, config.encoder_kind, normalized=normalized)
        super().__init__(env, config, observations)
        policy = PolicyHead(*action_head(env.spec.action_space))
        self.actor = self._side(core, policy, config.kappa_policy)
        self.critic = self._side(core, ValueHead(), config.kappa_value)

    def init_carry(self, batch: int) -> Carry:
        """The memory of `batch` fresh episodes: the actor's and the critic's."""
        return tuple(side.estimator.module.init_carry(batch) for side in (self.actor, self.critic))

    def policy_params(self, state: StreamState) -> PolicyParams:
        """What `act` needs of a state."""
        return state.params

    def batched(self, state: StreamState) -> StreamState:
        """True for every leaf of a state whose first axis is the environments."""
        return mark_batched(state)

    def policy(
        self, params: PolicyParams, carry: Carry, obs: Array, reset: Array
    ) -> tuple[Carry, Distribution, Array]:
        """One step on flattened obs [B, ...]: (carry, distribution [B], value [B])."""
        obs = self.observations.normalise(params.moments, obs)
        (actor, critic), network = carry, params.network
        actor, distribution = self.actor.look(network["actor"], actor, obs, reset)
        critic, value = self.critic.look(network["critic"], critic, obs, reset)
        return (actor, critic), distribution, value

    @partial(jax.jit, static_argnums=0)
    def init(self, key: Array) -> StreamState:
        """Fresh parameters and episodes."""
        actor_key, critic_key, env_key, act_key = jax.random.split(key, 4)
        envs = self.env.num_envs
        actor = start_actor(self.env, (), env_key, act_key)
        seen = actor.timestep.obs, actor.timestep.reset
        network = {
            "actor": self.actor.init(actor_key, *seen),
            "critic": self.critic.init(critic_key, *seen),
        }
        memories = Memories(
            self.actor.init_memory(network["actor"], envs),
            self.critic.init_memory(network["critic"], envs),
            jnp.zeros(envs, jnp.float32),
        )
        params = PolicyParams(network, self.observations.init_moments())
        actor = actor._replace(carry=memories)
        return StreamState(params, init_moments(1), actor, jnp.zeros((), jnp.int32))

    @partial(jax.jit, static_argnums=(0, 2))
    def train(self, state: StreamState, num_updates: int) -> tuple[StreamState, Metrics]:
        """`num_updates` times `num_steps` steps, learned from one by one."""

        def update(state: StreamState, _: None) -> tuple[StreamState, tuple[Episodes, Metrics]]:
            state, (episodes, losses) = lax.scan(self._step, state, None, self.config.num_steps)
            state = state._replace(updates=state.updates + 1)
            return state, (jax.tree.map(jnp.sum, episodes), jax.tree.map(jnp.mean, losses))

        state, (episodes, losses) = lax.scan(update, state, None, num_updates)
        return state, training_metrics(episodes, losses)

    def _step(self, state: StreamState, _: None) -> tuple[StreamState, tuple[Episodes, Metrics]]:
        """Act once in every environment, and learn from it at once."""
        network, old = state.params.network, state.actor
        moments = self.observations.update(state.params.moments, old.timestep.obs, None)
        params = state.params._replace(moments=moments)
        keys = jax.random.split(old.key, 5)[3:]  # the first three are those of `step_once`
        actor, action, seen = step_once(self.env, partial(self._choose, params, keys), old)
        new = actor.timestep
        rewards, discounted, scale = self._scale(state.rewards, old.carry.discounted, new)
        mask = learned_mask(new)
        counts = jnp.ones_like(new.reset) if mask is None else mask
        ahead = self._ahead(params, seen.critic.trace.carry, new)
        delta = jnp.where(counts, new.reward * scale + ahead - seen.value, 0)
        ended = ended_for_learner(new) | new.truncated | ~counts
        network, memories, losses = self._learn(network, old.carry, seen, action, delta, ended)
        actor = actor._replace(carry=Memories(*memories, discounted))
        state = StreamState(params._replace(network=network), rewards, actor, state.updates)
        return state, (ended_episodes(actor.env_state, new), losses)

    def _choose(
        self, params: PolicyParams, keys: Array, old: Memories, obs: Array, reset: Array, key: Array
    ) -> tuple[Memories, Any, StreamStep]:
        """`rlseq.agents.acting.Choose`; the memories move on once the step is learned from."""
        obs = self.observations.normalise(params.moments, obs)
        network = params.network
        actor, policy = self.actor.see(network["actor"], old.actor, obs, reset, keys[0])
        critic, value = self.critic.see(network["critic"], old.critic, obs, reset, keys[1])
        return old, policy.sample(key), StreamStep(actor, policy, critic, value)

    def _learn(
        self,
        network: Params,
        old: Memories,
        seen: StreamStep,
        action: Any,
        delta: Array,
        ended: Array,
    ) -> tuple[Params, tuple[Memory, Memory], Metrics]:
        """(parameters after the step, memories of actor and critic after it, metrics)."""
        learn_policy = partial(self.actor.learn, network["actor"], old.actor.eligibility)
        actor_params, actor, rate = learn_policy(
            seen.actor, self._policy_objective, (action, jnp.sign(delta)), delta, ended
        )
        learn_value = partial(self.critic.learn, network["critic"], old.critic.eligibility)
        critic_params, critic, _ = learn_value(seen.critic, lambda v: v, (), delta, ended)
        losses = {
            "loss/td": jnp.square(delta).mean(), "value": seen.value.mean(), "rate": rate.mean(),
            "entropy": seen.policy.entropy().mean(),
        }  # fmt: skip
        return {"actor": actor_params, "critic": critic_params}, (actor, critic), losses

    def _scale(
        self, moments: RunningMoments, discounted: Array, new: TimeStep
    ) -> tuple[RunningMoments, Array, Array]:
        """As `reward_scale`; 1 where it is not asked for."""
        if not self.config.scale_rewards:
            return moments, discounted, jnp.float32(1)
        return reward_scale(moments, discounted, new, gamma=self.config.gamma)

    def _ahead(self, params: PolicyParams, carry: Carry, new: TimeStep) -> Array:
        """gamma V of what follows [E], after all before it; 0 where the episode ended."""
        final = self.observations.normalise(params.moments, new.final_obs)
        never = jnp.zeros_like(new.reset)
        _, value = self.critic.look(params.network["critic"], carry, final, never)
        return jnp.where(ended_for_learner(new), 0, self.config.gamma * value)

    def _policy_objective(self, policy: Distribution, action: Any, sign: Array) -> Array:
        """log pi(a), and the entropy in such a way that its gradient points up whatever delta."""
        return policy.log_prob(action) + self.config.entropy_coef * sign * policy.entropy()

    def _side(self, core: dict[str, Any], out: Any, kappa: float) -> Side:
        c, images = self.config, self.observations.images
        encoder, head = ((width,) if width else () for width in (c.encoder, c.head))
        stack = make_core(**core)
        dtype = around(stack.dtype)
        enter: Any = SparseStack(encoder, c.sparsity, dtype)
        if images:
            space = self.observations.space
            enter = make_encoder(c.encoder_kind, space, encoder, norm=True, dtype=dtype)
        # What an image's many parameters did to every number of the state is too much to carry.
        memory = Encoded(enter, stack, traced=not images)
        estimator = make_estimator(c.estimator, memory)
        return Side(estimator, Head(head, c.sparsity, out, dtype), kappa, c)
