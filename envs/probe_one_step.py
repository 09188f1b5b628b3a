"""Probes of one step: what was seen and done is paid at once, so V is the best payoff."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Box, Space

from rlseq.envs.probe_base import Probe
from rlseq.envs.spaces import MultiBinary, MultiDiscrete
from rlseq.types import PyTree

SIGNS = np.array([[-1.0], [1.0]], np.float32)


class OneStepState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    choice: jax.Array  # int32 [], the row of `first_obs` that is shown


class OneStep(Probe):
    """Shows one row of `first_obs`, takes one action, pays `payoff`, ends."""

    max_steps = 1
    first_obs = SIGNS
    best = np.ones(2)  # float64 [M], the best payoff of each row

    def __init__(self) -> None:
        self.optimal_return = float(self.best.mean())
        self.memoryless_return = self.optimal_return

    def value(self, gamma: float) -> np.ndarray:
        return self.best

    def payoff(self, seen: jax.Array, action: PyTree) -> jax.Array:
        """float32 [] for an action after seeing an observation [D]."""
        raise NotImplementedError

    def start(self, key: jax.Array) -> OneStepState:
        return OneStepState(
            jnp.int32(0), jax.random.randint(key, (), 0, len(self.first_obs), jnp.int32)
        )

    def advance(
        self, key: jax.Array, state: OneStepState, action: PyTree
    ) -> tuple[OneStepState, jax.Array]:
        seen = jnp.asarray(self.first_obs)[state.choice]
        return state._replace(time=state.time + 1), self.payoff(seen, action)

    def observe(
        self, key: jax.Array, state: OneStepState, action: PyTree, params: Any
    ) -> jax.Array:
        return jnp.asarray(self.first_obs)[state.choice]


class Constant(OneStep):
    """Always pays 1. Fails: the value loss or its optimiser."""

    reward_range = (1.0, 1.0)
    first_obs = np.zeros((1, 1), np.float32)
    best = np.ones(1)

    def payoff(self, seen: jax.Array, action: PyTree) -> jax.Array:
        return jnp.float32(1)


class ObsDependent(OneStep):
    """Pays what it shows, -1 or 1. Fails: the observation does not reach the value."""

    best = np.array([-1.0, 1.0])

    def payoff(self, seen: jax.Array, action: PyTree) -> jax.Array:
        return seen[0]


class ActionDependent(OneStep):
    """Action 1 pays 1, action 0 pays -1. Fails: the policy loss or the sign of an advantage."""

    first_obs = np.zeros((1, 1), np.float32)
    best = np.ones(1)

    def payoff(self, seen: jax.Array, action: PyTree) -> jax.Array:
        return jnp.where(action == 1, jnp.float32(1), jnp.float32(-1))


class ActionObs(OneStep):
    """Action 1 is right after 1, action 0 after -1: +-1. Fails: batch rows are mixed up."""

    def payoff(self, seen: jax.Array, action: PyTree) -> jax.Array:
        return jnp.where((action == 1) == (seen[0] > 0), jnp.float32(1), jnp.float32(-1))


class Continuous(OneStep):
    """Pays -(a - obs)^2. action float32 [1]. Fails: the continuous policy."""

    reward_range = (-2.25, 0.0)
    first_obs = np.array([[-0.5], [0.0], [0.5]], np.float32)
    best = np.zeros(3)

    def payoff(self, seen: jax.Array, action: PyTree) -> jax.Array:
        return -((action[0] - seen[0]) ** 2).astype(jnp.float32)

    def action_space(self, params: Any) -> Space:
        return Box(-1.0, 1.0, (1,), jnp.float32)


class MultiAction(OneStep):
    """Two choices at once, (1, 2) after 1 and (0, 1) after -1; pays the share that is right.

    action int32 [2] of MultiDiscrete(2, 3). Fails: joint log-probabilities or their order.
    """

    reward_range = (0.0, 1.0)

    def payoff(self, seen: jax.Array, action: PyTree) -> jax.Array:
        wanted = jnp.where(seen[0] > 0, np.array([1, 2], np.int32), np.array([0, 1], np.int32))
        return jnp.mean((action == wanted).astype(jnp.float32))

    def action_space(self, params: Any) -> Space:
        return MultiDiscrete([2, 3])


class Coins(OneStep):
    """Three coins at once, (1, 0, 1) after 1 and (0, 1, 1) after -1; pays the share that is right.

    action int32 [3] of MultiBinary(3). Fails: the probabilities of coins, or their order.
    """

    reward_range = (0.0, 1.0)

    def payoff(self, seen: jax.Array, action: PyTree) -> jax.Array:
        wanted = jnp.where(
            seen[0] > 0, np.array([1, 0, 1], np.int32), np.array([0, 1, 1], np.int32)
        )
        return jnp.mean((action == wanted).astype(jnp.float32))

    def action_space(self, params: Any) -> Space:
        return MultiBinary(3)
