"""What agents share that learn from a rollout of their own policy, once or in a few epochs."""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from rlseq.agents.acting import Actor, mark_batched, start_actor
from rlseq.agents.metrics import Episodes, training_metrics
from rlseq.agents.observations import Observations
from rlseq.agents.policy_agent import PolicyAgent
from rlseq.agents.rollout import Policy, Trajectory, collect
from rlseq.errors import InputError
from rlseq.nn.normalisers import RunningMoments
from rlseq.types import Carry, Metrics, Params, VecEnv


class PolicyParams(NamedTuple):
    """All that acting needs."""

    network: Params
    moments: RunningMoments  # of observations


class OnPolicyState(NamedTuple):
    """All that training needs; every leaf is an array."""

    params: PolicyParams
    optimiser: optax.OptState
    actor: Actor
    updates: Array  # [] int32
    key: Array


class OnPolicyAgent(PolicyAgent):
    """Everything of `rlseq.types.Agent` but what is specific to an algorithm.

    A subclass has `Config`, a frozen dataclass with `num_steps` (the length of a rollout), calls
    this constructor with its network and optimiser, and defines `policy` and `learn`. The network
    is a `rlseq.agents.networks.RecurrentTrunk`.
    """

    def __init__(
        self,
        env: VecEnv,
        config: Any,
        observations: Observations,
        network: nn.Module,
        optimiser: optax.GradientTransformation,
    ):
        super().__init__(env, config, observations)
        self.network: Any = network  # flax gives the results of `apply` no types
        self.optimiser = optimiser

    def learn(
        self, state: OnPolicyState, carry: Carry, trajectory: Trajectory, key: Array
    ) -> tuple[Params, optax.OptState, Metrics]:
        """From a rollout that began with `carry`: (network, optimiser state, losses)."""
        raise NotImplementedError

    def behaviour(self, state: OnPolicyState) -> Policy:
        """What a rollout acts with."""
        return partial(self.policy, state.params)

    @partial(jax.jit, static_argnums=0)
    def init(self, key: Array) -> OnPolicyState:
        """Fresh parameters and episodes."""
        key, net_key, env_key, act_key = jax.random.split(key, 4)
        actor = start_actor(self.env, self.init_carry(self.env.num_envs), env_key, act_key)
        ts = actor.timestep
        network = self.network.init(net_key, actor.carry, ts.obs, ts.reset, method="step")
        return OnPolicyState(
            params=PolicyParams(network, self.observations.init_moments()),
            optimiser=self.optimiser.init(network),
            actor=actor,
            updates=jnp.zeros((), jnp.int32),
            key=key,
        )

    def init_carry(self, batch: int) -> Carry:
        """The memory of `batch` fresh episodes."""
        return self.network.init_carry(batch)

    def policy_params(self, state: OnPolicyState) -> PolicyParams:
        """What `act` needs of a state."""
        return state.params

    def batched(self, state: OnPolicyState) -> OnPolicyState:
        """True for every leaf of a state whose first axis is the environments."""
        return mark_batched(state)

    @partial(jax.jit, static_argnums=(0, 2))
    def train(self, state: OnPolicyState, num_updates: int) -> tuple[OnPolicyState, Metrics]:
        """`num_updates` rollouts, learned from each; losses are means over them."""
        state, (episodes, losses) = lax.scan(self._update, state, None, num_updates)
        return state, training_metrics(episodes, losses)

    def _update(
        self, state: OnPolicyState, _: None
    ) -> tuple[OnPolicyState, tuple[Episodes, Metrics]]:
        key, learn_key = jax.random.split(state.key)
        carry = state.actor.carry
        actor, trajectory, episodes = collect(
            self.env, self.behaviour(state), state.actor, self.config.num_steps
        )
        network, optimiser, losses = self.learn(state, carry, trajectory, learn_key)
        moments = self.observations.update(state.params.moments, trajectory.obs, trajectory.mask)
        params = PolicyParams(network, moments)
        return OnPolicyState(params, optimiser, actor, state.updates + 1, key), (episodes, losses)


def check_sizes(num_envs: int, minibatches: int, num_updates: int, parts: int = 1) -> None:
    """Raise InputError for sizes that do not fit each other."""
    if num_updates < 1:
        raise InputError(f"num_updates must be at least 1, got {num_updates}")
    if num_envs % minibatches:
        raise InputError(
            f"agent.minibatches must divide env.num_envs = {num_envs}, got {minibatches}"
        )
    if (sequences := num_envs // minibatches) % parts:
        raise InputError(
            f"agent.accumulate must divide the {sequences} environments of a minibatch, got {parts}"
        )
