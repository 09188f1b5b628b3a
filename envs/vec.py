"""E copies of a JAX environment behind the batched interface of `rlseq.types.VecEnv`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlseq.envs.base import Env
from rlseq.errors import InputError
from rlseq.types import EnvSpec, PyTree, TimeStep


class Stepped(NamedTuple):
    """One transition of E environments before any of them starts anew."""

    obs: PyTree  # [E, ...]
    state: Any  # [E, ...]
    reward: jax.Array  # [E] float32
    terminated: jax.Array  # [E] bool
    truncated: jax.Array  # [E] bool, False where terminated


class JaxVecEnv:
    """Vmaps an `Env` over E copies and restarts those that end, in the same step.

    `reset` of a time step is `terminated | truncated` of that step (all True after `reset(key)`,
    with reward 0); `final_obs` is the observation that really followed, also where `obs` already
    shows the next episode. A step costs no reset unless some copy ended.

    Raises InputError when `num_envs` is below 1.
    """

    def __init__(self, env: Env, params: Any, num_envs: int, env_id: str):
        if num_envs < 1:
            raise InputError(f"num_envs must be at least 1, got {num_envs}")
        self.env = env
        self.params = params
        self.num_envs = num_envs
        self.spec = EnvSpec(
            id=env_id,
            obs_space=env.observation_space(params),
            action_space=env.action_space(params),
            can_truncate=env.can_truncate,
            max_steps=env.max_steps,
        )

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        """Fresh episodes everywhere: (state, first time step)."""
        obs, state = self._restart(key)
        no = jnp.zeros(self.num_envs, bool)
        reward = jnp.zeros(self.num_envs, jnp.float32)
        return state, TimeStep(obs, reward, no, no, jnp.ones_like(no), obs)

    def step(self, state: Any, action: PyTree, key: jax.Array) -> tuple[Any, TimeStep]:
        """One step of every copy; action [E, ...] -> (state, time step)."""
        step_key, reset_key = jax.random.split(key)
        new = self._advance(state, action, step_key)
        ended = new.terminated | new.truncated

        def restart_ended() -> tuple[PyTree, Any]:
            fresh = self._restart(reset_key)
            return jax.tree.map(lambda a, b: _pick(ended, a, b), fresh, (new.obs, new.state))

        # A branch outside vmap: an ordinary step pays for no shuffled deck or drawn maze.
        obs, state = jax.lax.cond(jnp.any(ended), restart_ended, lambda: (new.obs, new.state))
        shown = TimeStep(obs, new.reward, new.terminated, new.truncated, ended, new.obs)
        return state, shown

    def _restart(self, key: jax.Array) -> tuple[PyTree, Any]:
        keys = jax.random.split(key, self.num_envs)
        return jax.vmap(self.env.reset_env, in_axes=(0, None))(keys, self.params)

    def _advance(self, state: Any, action: PyTree, key: jax.Array) -> Stepped:
        keys = jax.random.split(key, self.num_envs)
        step = jax.vmap(self.env.step_env, in_axes=(0, 0, 0, None))
        obs, state, reward, terminated, _ = step(keys, state, action, self.params)
        at_limit = jax.vmap(self.env.is_truncated, in_axes=(0, None))(state, self.params)
        truncated = at_limit & ~terminated
        return Stepped(obs, state, reward.astype(jnp.float32), terminated, truncated)


def _pick(ended: jax.Array, fresh: jax.Array, going_on: jax.Array) -> jax.Array:
    """fresh where ended [E] is True, else going_on; both [E, ...]."""
    return jnp.where(jnp.expand_dims(ended, range(1, fresh.ndim)), fresh, going_on)
