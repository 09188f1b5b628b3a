"""What agents share that act into a replay and learn from sequences of it."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.agents.acting import Actor, mark_batched, start_actor
from rlseq.agents.experience import collect_rows
from rlseq.agents.metrics import Episodes, training_metrics
from rlseq.agents.observations import Observations
from rlseq.agents.policy_agent import PolicyAgent
from rlseq.agents.rollout import ActionDistribution, ended_for_learner
from rlseq.agents.types import AgentPart
from rlseq.replay.store import Replay, ReplayState
from rlseq.rl.branches import unbatched
from rlseq.types import Carry, Metrics, Params, PyTree, Ring, TimeStep, VecEnv


class Row(NamedTuple):
    """What the replay keeps of one step of each environment; all [E, ...]."""

    obs: Array
    action: PyTree
    reward: Array  # float32, of that action
    terminated: Array  # bool, it ended the episode, perhaps for the learner alone
    truncated: Array  # bool, a time limit cut the episode after it: the successor is not kept
    reset: Array  # bool, obs begins an episode
    carry: Carry  # the memory when obs arrived


class ReplayAgentState(NamedTuple):
    """All that training needs; every leaf is an array."""

    learner: Any  # networks, optimisers, the number of updates
    replay: ReplayState
    actor: Actor
    updates: Array  # [] int32, rounds
    key: Array


class ReplayAgent(PolicyAgent):
    """Everything of `rlseq.types.Agent` but what is specific to an algorithm.

    A round acts `num_steps` steps in every environment and, once `warmup` steps are in the replay,
    makes `updates` updates. A subclass has `Config` with these three, calls this constructor, and
    defines `policy`, `init_learner`, `learn_once`, `policy_params` and `init_carry`; `stored` where
    the replay keeps less of a carry than acting needs, and `renew` for what happens between rounds.
    """

    def __init__(self, env: VecEnv, config: Any, observations: Observations, replay: Replay):
        super().__init__(env, config, observations)
        self.replay = replay
        # In rounds: the product with their steps would leave an int32 long before them.
        self.warmup_rounds = -(-config.warmup // self.steps_per_update)

    def init_carry(self, batch: int) -> Carry:
        """The memory of `batch` fresh episodes."""
        raise NotImplementedError

    def init_learner(self, key: Array) -> Any:
        """Fresh networks and optimisers."""
        raise NotImplementedError

    def learn_once(
        self, ring: Ring, old: tuple[Any, PyTree], key: Array
    ) -> tuple[tuple[Any, PyTree], Metrics]:
        """One update of (learner, the replay's sampler): (both anew, losses)."""
        raise NotImplementedError

    def policy_params(self, state: ReplayAgentState) -> Params:
        """What `act` needs of a state."""
        raise NotImplementedError

    def behaviour(
        self, state: ReplayAgentState
    ) -> Callable[[Carry, Array, Array], tuple[Carry, ActionDistribution, Array]]:
        """What experience is made with."""
        return partial(self.policy, self.policy_params(state))

    def stored(self, carry: Carry) -> Carry:
        """What the replay keeps of a carry."""
        return carry

    def renew(self, learner: Any, key: Array) -> Any:
        """The learner after the updates of a round."""
        del key
        return learner

    @partial(jax.jit, static_argnums=0)
    def init(self, key: Array) -> ReplayAgentState:
        """Fresh parameters and episodes, and an empty replay."""
        key, net_key, env_key, act_key = jax.random.split(key, 4)
        envs = self.env.num_envs
        actor = start_actor(self.env, self.init_carry(envs), env_key, act_key)
        space = self.env.spec.action_space
        sampled = jax.vmap(space.sample)(jax.random.split(act_key, envs))
        action = jax.tree.map(lambda x: jnp.zeros_like(_single(x)), sampled)
        row = self._row(actor.carry, actor.timestep, action, actor.timestep)
        return ReplayAgentState(
            learner=self.init_learner(net_key),
            replay=self.replay.init(row),
            actor=actor,
            updates=jnp.zeros((), jnp.int32),
            key=key,
        )

    def batched(self, state: ReplayAgentState) -> ReplayAgentState:
        """True for every leaf of a state whose first axis is the environments."""
        return mark_batched(state, "replay")

    def parts(self) -> dict[str, AgentPart]:
        """What a round consists of beside the environment."""

        def acting(state: ReplayAgentState, key: Array) -> Any:
            actor, ts = state.actor, state.actor.timestep
            return self._act(state, actor.carry, ts.obs, ts.reset, key)

        def learning(state: ReplayAgentState, key: Array) -> Any:
            return self.learn_once(state.replay.ring, (state.learner, state.replay.sampler), key)

        return {
            "acting": AgentPart(acting, self.config.num_steps),
            "learning": AgentPart(learning, self.config.updates),
        }

    @partial(jax.jit, static_argnums=(0, 2))
    def train(self, state: ReplayAgentState, num_updates: int) -> tuple[ReplayAgentState, Metrics]:
        """`num_updates` rounds of acting and learning; losses are means over those that learned."""
        state, (episodes, losses, learned) = lax.scan(self._round, state, None, num_updates)
        return state, training_metrics(episodes, losses, learned)

    def _round(
        self, state: ReplayAgentState, _: None
    ) -> tuple[ReplayAgentState, tuple[Episodes, Metrics, Array]]:
        act = partial(self._act, state)
        actor, replay, episodes = collect_rows(
            self.env, act, state.actor, self.replay, state.replay, self.config.num_steps, self._row
        )
        key, learn_key = jax.random.split(state.key)
        ready = state.updates + 1 >= self.warmup_rounds
        learn = partial(self._learn, replay.ring)
        (learner, sampler), losses = learn_when(
            ready, learn, (state.learner, replay.sampler), learn_key
        )
        replay = replay._replace(sampler=sampler)
        state = ReplayAgentState(learner, replay, actor, state.updates + 1, key)
        return state, (episodes, losses, ready)

    def _act(
        self, state: ReplayAgentState, carry: Carry, obs: Array, reset: Array, key: Array
    ) -> tuple[Carry, PyTree]:
        carry, distribution, _ = self.behaviour(state)(carry, obs, reset)
        return carry, distribution.sample(key)

    def _learn(
        self, ring: Ring, old: tuple[Any, PyTree], key: Array
    ) -> tuple[tuple[Any, PyTree], Metrics]:
        keys = jax.random.split(key, self.config.updates + 1)
        (learner, sampler), losses = lax.scan(partial(self.learn_once, ring), old, keys[1:])
        return (self.renew(learner, keys[0]), sampler), jax.tree.map(jnp.mean, losses)

    def _row(self, carry: Carry, old: TimeStep, action: PyTree, new: TimeStep) -> Row:
        ended, kept = ended_for_learner(new), self.stored(carry)
        return Row(old.obs, action, new.reward, ended, new.truncated, old.reset, kept)


def learn_when(
    ready: Array, learn: Callable[[Any, Array], tuple[Any, Metrics]], old: Any, key: Array
) -> tuple[Any, Metrics]:
    """`learn(old, key)` where `ready` bool [], else what was there, and zeros as metrics.

    All seeds are in the same round, so that also under vmap only one side is computed.
    """
    shapes = jax.eval_shape(learn, old, key)[1]
    nothing = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    return lax.cond(unbatched(ready), learn, lambda old, _: (old, nothing), old, key)


def _single(x: Array) -> Array:
    """Numbers of 32 bits, as the policies draw them."""
    return x.astype(jnp.float32 if jnp.issubdtype(x.dtype, jnp.floating) else jnp.int32)
