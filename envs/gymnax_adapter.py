"""Makes any gymnax environment an `Env` that also works under strict promotion rules."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from gymnax.environments.environment import Environment

from rlseq.envs.base import Env
from rlseq.types import PyTree

# Of one step with gymnax's own parameters, read off its source; tasks with normal noise have none.
REWARDS = {
    "CartPole-v1": (0.0, 1.0),
    "Pendulum-v1": (-16.2736044, 0.0),
    "Acrobot-v1": (-1.0, 0.0),
    "MountainCar-v0": (-1.0, -1.0),
    "MountainCarContinuous-v0": (-0.1, 100.0),
    "Asterix-MinAtar": (0.0, 1.0),
    "Breakout-MinAtar": (0.0, 1.0),
    "Freeway-MinAtar": (0.0, 1.0),
    "Seaquest-MinAtar": (0.0, math.inf),
    "SpaceInvaders-MinAtar": (0.0, 24.0),
    "Catch-bsuite": (-1.0, 1.0),
    "MemoryChain-bsuite": (-1.0, 1.0),
    "UmbrellaChain-bsuite": (-1.0, 1.0),
    "DiscountingChain-v0": (0.0, 1.1),
    "SimpleBandit-bsuite": (0.0, 1.0),
    "FourRooms-misc": (0.0, 1.0),
    "MetaMaze-misc": (0.0, 10.0),
    "PointRobot-misc": (0.0, 1.0),
    "BernoulliBandit-misc": (0.0, 1.0),
    "Reacher-misc": (0.0, 1.0),
    "Swimmer-misc": (0.0, 1.0),
    "Pong-misc": (0.0, 1.0),
    "FrozenLake-misc": (0.0, 1.0),
}


class Adapted(Env):
    """A gymnax 1.0 environment with its params, traced under JAX's default rules.

    gymnax mixes dtypes and ranks freely and keeps Python numbers in its states; inside, JAX's
    default rules hold whatever the caller has set, and what comes out has fixed dtypes of at most
    32 bits.
    """

    can_truncate = True

    def __init__(self, inner: Environment, params: Any):
        self.inner = inner
        self.params = params
        self.max_steps = int(params.max_steps_in_episode)
        self.reward_range = REWARDS.get(inner.name, self.reward_range)

    @property
    def default_params(self) -> Any:
        return self.params

    @property
    def name(self) -> str:
        return self.inner.name

    def reset_env(self, key: jax.Array, params: Any) -> tuple[PyTree, Any]:
        with default_rules():
            obs, state = self.inner.reset_env(key, params)
            return self._as_declared(obs, params), strong(state)

    def step_env(
        self, key: jax.Array, state: Any, action: PyTree, params: Any
    ) -> tuple[PyTree, Any, jax.Array, jax.Array, dict[str, Any]]:
        with default_rules():
            obs, state, reward, terminated, _ = self.inner.step_env(key, state, action, params)
            reward = jnp.asarray(reward).astype(jnp.float32).reshape(())
            terminated = jnp.asarray(terminated).astype(bool).reshape(())
            obs = self._as_declared(obs, params)
            return obs, strong(state), reward, terminated, {}

    def observe(self, key: jax.Array, state: Any, action: PyTree, params: Any) -> PyTree:
        with default_rules():
            return self._as_declared(self.inner.observe(key, state, action, params), params)

    def is_terminated(self, state: Any, params: Any) -> jax.Array:
        with default_rules():
            return jnp.asarray(self.inner.is_terminated(state, params)).astype(bool)

    def is_truncated(self, state: Any, params: Any) -> jax.Array:
        with default_rules():
            return jnp.asarray(self.inner.is_truncated(state, params)).astype(bool)

    def action_space(self, params: Any) -> spaces.Space:
        with default_rules():
            return self.inner.action_space(params)

    def observation_space(self, params: Any) -> spaces.Space:
        with default_rules():
            return self.inner.observation_space(params)

    def _as_declared(self, obs: PyTree, params: Any) -> PyTree:
        """FourRooms declares float32 and shows int32: the declared dtype holds."""
        space = self.inner.observation_space(params)
        if isinstance(space, spaces.Box | spaces.Discrete):
            return jnp.asarray(obs).astype(space.dtype)
        return strong(obs)


@contextlib.contextmanager
def default_rules() -> Iterator[None]:
    """JAX's defaults of promotion and width, whatever the caller has set; acts while tracing."""
    loose = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")
    with loose[0], loose[1], jax.enable_x64(False):
        yield


def strong(tree: PyTree) -> PyTree:
    """Python numbers and weakly typed arrays as arrays of a fixed dtype."""

    def fix(x: Any) -> jax.Array:
        x = jnp.asarray(x)
        return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x.astype(x.dtype)

    return jax.tree.map(fix, tree)
