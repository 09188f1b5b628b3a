"""The common form of other packages' JAX environments: `reset_with` and `step_with` of each."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlseq.envs.base import Env
from rlseq.envs.gymnax_adapter import default_rules, strong
from rlseq.types import PyTree


class PackageState(NamedTuple):
    """What the package keeps, and how the episode stands."""

    inner: Any
    time: jax.Array  # int32 [], steps so far
    terminated: jax.Array  # bool []
    truncated: jax.Array  # bool [], by the package itself


class Outcome(NamedTuple):
    """One step of a package's environment."""

    obs: PyTree
    inner: Any
    reward: jax.Array  # []
    terminated: jax.Array  # bool []
    truncated: jax.Array | bool = False  # cut by the package, or left out where it does not tell


class PackageEnv(Env):
    """An environment of another package, traced under JAX's default rules.

    A subclass defines `reset_with`, `step_with`, the two spaces and `max_steps`. It hands on the
    keys that it gets, as uint32 data, which is what these packages are written for: their own loop
    with `jax.random.key_data` of the same keys plays the same episodes. Beside the package's own
    ends an episode is cut after `max_steps` steps. States come out without weak types and Python
    numbers.
    """

    can_truncate = True

    def reset_with(self, key: jax.Array) -> tuple[PyTree, Any]:
        """(observation, what the package keeps) of a fresh episode."""
        raise NotImplementedError

    def step_with(self, key: jax.Array, inner: Any, action: PyTree) -> Outcome:
        """One step of the package's environment, without restarts."""
        raise NotImplementedError

    def reset_env(self, key: jax.Array, params: Any) -> tuple[PyTree, PackageState]:
        with default_rules():
            obs, inner = strong(self.reset_with(_data(key)))
            no = jnp.zeros((), bool)
            return obs, PackageState(inner, jnp.zeros((), jnp.int32), no, no)

    def step_env(
        self, key: jax.Array, state: PackageState, action: PyTree, params: Any
    ) -> tuple[PyTree, PackageState, jax.Array, jax.Array, dict[str, Any]]:
        with default_rules():
            out = strong(self.step_with(_data(key), state.inner, action))
            ends = (jnp.asarray(x).astype(bool).reshape(()) for x in out[3:])
            state = PackageState(out.inner, state.time + 1, *ends)
            reward = out.reward.astype(jnp.float32).reshape(())
            return out.obs, state, reward, state.terminated, {}

    def is_terminated(self, state: PackageState, params: Any) -> jax.Array:
        return state.terminated

    def is_truncated(self, state: PackageState, params: Any) -> jax.Array:
        if not self.can_truncate:
            return jnp.zeros((), bool)
        return state.truncated | (state.time >= params.max_steps_in_episode)


def _data(key: jax.Array) -> jax.Array:
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(key) if typed else key
