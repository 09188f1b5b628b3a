"""E copies of a JAX environment behind the batched interface of `rlseq.types.VecEnv`."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlseq.envs.base import Env
from rlseq.envs.batched import Batched
from rlseq.envs.spaces import as_declared
from rlseq.errors import InputError
from rlseq.rl.branches import where_any
from rlseq.types import EnvSpec, PyTree, TimeStep


class Stepped(NamedTuple):
    """One transition of E environments before any of them starts anew."""

    obs: PyTree  # [E, ...]
    state: Any  # [E, ...]
    reward: jax.Array  # [E] float32
    terminated: jax.Array  # [E] bool
    truncated: jax.Array  # [E] bool, False where terminated


class JaxVecEnv(Batched):
    """Vmaps an `Env` over E copies and restarts those that end, in the same step.

    `reset` of a time step is `terminated | truncated` of that step (all True after `reset(key)`,
    with reward 0); `final_obs` is the observation that really followed, also where `obs` already
    shows the next episode. A step costs no reset unless some copy ended; where the environment
    gives a `mean_length`, it costs hardly more of them than copies ended, also under `vmap`.

    Raises InputError when `num_envs` is below 1.
    """

    def __init__(self, env: Env, params: Any, num_envs: int, env_id: str):
        if num_envs < 1:
            raise InputError(f"num_envs must be at least 1, got {num_envs}")
        self.env = env
        self.params = params
        self.num_envs = num_envs
        self.fresh_at_once = math.ceil(num_envs / (env.mean_length or 1))
        self.spec = EnvSpec(
            id=env_id,
            obs_space=env.observation_space(params),
            action_space=env.action_space(params),
            can_truncate=env.can_truncate,
            max_steps=env.max_steps,
            reward_range=env.reward_range,
        )

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        """Fresh episodes everywhere: (state, first time step)."""
        obs, state = self._restart(key, jnp.arange(self.num_envs, dtype=jnp.int32))
        no = jnp.zeros(self.num_envs, bool)
        reward = jnp.zeros(self.num_envs, jnp.float32)
        return state, TimeStep(obs, reward, no, no, jnp.ones_like(no), obs)

    def step(self, state: Any, action: PyTree, key: jax.Array) -> tuple[Any, TimeStep]:
        """One step of every copy; action [E, ...] -> (state, time step)."""
        step_key, reset_key = jax.random.split(key)
        action = as_declared(self.spec.action_space, action)
        new = self._advance(state, action, step_key)
        ended = new.terminated | new.truncated

        obs, state = self._restart_ended(ended, reset_key, (new.obs, new.state))
        shown = TimeStep(obs, new.reward, new.terminated, new.truncated, ended, new.obs)
        return state, shown

    def _restart(self, key: jax.Array, indices: jax.Array) -> tuple[PyTree, Any]:
        """Fresh (obs, state) of the copies with indices [K]; each has its own key."""
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, indices)
        return jax.vmap(self.env.reset_env, in_axes=(0, None))(keys, self.params)

    def _restart_ended(
        self, ended: jax.Array, key: jax.Array, going_on: tuple[PyTree, Any]
    ) -> tuple[PyTree, Any]:
        """Fresh (obs, state) where ended [E]; each copy's own key decides, in either way."""
        if self.fresh_at_once < self.num_envs:
            return self._restart_some(ended, key, going_on)

        def restart() -> tuple[PyTree, Any]:
            fresh = self._restart(key, jnp.arange(self.num_envs, dtype=jnp.int32))
            return jax.tree.map(lambda a, b: pick(ended, a, b), fresh, going_on)

        # An ordinary step pays for no shuffled deck or drawn maze.
        return where_any(ended, restart, going_on)

    def _restart_some(
        self, ended: jax.Array, key: jax.Array, going_on: tuple[PyTree, Any]
    ) -> tuple[PyTree, Any]:
        """`fresh_at_once` copies after another, as long as there are ended ones."""
        size = self.fresh_at_once
        last = self.num_envs - 1
        # Indices of the ended ones, then one that is out of bounds.
        (indices,) = jnp.nonzero(ended, size=self.num_envs + size, fill_value=self.num_envs)

        def restart(carried: tuple[jax.Array, tuple[PyTree, Any]]):
            done, tree = carried
            some = jax.lax.dynamic_slice(indices, (done,), (size,))
            fresh = self._restart(key, jnp.minimum(some, last))
            tree = jax.tree.map(lambda a, b: a.at[some].set(b, mode="drop"), tree, fresh)
            return done + size, tree

        count = ended.sum(dtype=jnp.int32)
        start = jnp.int32(0), going_on
        return jax.lax.while_loop(lambda carried: carried[0] < count, restart, start)[1]

    def _advance(self, state: Any, action: PyTree, key: jax.Array) -> Stepped:
        keys = jax.random.split(key, self.num_envs)
        step = jax.vmap(self.env.step_env, in_axes=(0, 0, 0, None))
        obs, state, reward, terminated, _ = step(keys, state, action, self.params)
        at_limit = jax.vmap(self.env.is_truncated, in_axes=(0, None))(state, self.params)
        truncated = at_limit & ~terminated
        return Stepped(obs, state, reward.astype(jnp.float32), terminated, truncated)


def pick(ended: jax.Array, fresh: jax.Array, going_on: jax.Array) -> jax.Array:
    """fresh where ended [E] is True, else going_on; both [E, ...]."""
    return jnp.where(jnp.expand_dims(ended, range(1, fresh.ndim)), fresh, going_on)
