"""An agent of ten lines whose state has every kind of leaf; it learns nothing, exactly."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class FakeState(NamedTuple):
    key: jax.Array
    weights: dict[str, jax.Array]
    spectrum: jax.Array  # complex64
    alive: jax.Array  # [E] bool
    obs: jax.Array  # [E, 3]
    empty: jax.Array  # [0, 3]
    updates: jax.Array


class FakeAgent:
    """Random, deterministic updates; turns non-finite at update `breaks_at`."""

    steps_environment = True

    def __init__(self, env: Any = None, breaks_at: int = -1, num_envs: int = 4):
        self.env = env
        self.breaks_at = breaks_at
        self.num_envs = num_envs
        self.steps_per_update = num_envs * 8

    def init(self, key):
        key, weight_key = jax.random.split(key)
        return FakeState(
            key=key,
            weights={"w": jax.random.normal(weight_key, (3, 2)), "b": jnp.zeros(2)},
            spectrum=jnp.full(4, 1 + 1j, jnp.complex64),
            alive=jnp.ones(self.num_envs, bool),
            obs=jnp.zeros((self.num_envs, 3)),
            empty=jnp.zeros((0, 3)),
            updates=jnp.int32(0),
        )

    def train(self, state, num_updates):
        state, finite = jax.lax.scan(self._update, state, length=num_updates)
        nan = jnp.where(jnp.all(finite), jnp.float32(0), jnp.float32(jnp.nan))
        metrics = {
            "return": state.weights["w"].mean(),
            "length": jnp.float32(1),
            "valid_steps": jnp.float32(num_updates * self.steps_per_update),
            "loss/policy": state.obs.mean() + nan,
            "episodes": jnp.float32(num_updates),
            "finite": jnp.all(finite).astype(jnp.float32),
        }
        return state, metrics

    def _update(self, state, _):
        key, noise_key, env_key = jax.random.split(state.key, 3)
        noise = jax.random.normal(noise_key, (3, 2))
        state = state._replace(
            key=key,
            weights={"w": state.weights["w"] + 0.1 * noise, "b": state.obs.mean(0)[:2]},
            spectrum=state.spectrum * jnp.complex64(0.9 + 0.1j),
            alive=jax.random.bernoulli(env_key, 0.5, (self.num_envs,)),
            obs=state.obs + jax.random.normal(env_key, (self.num_envs, 3)),
            updates=state.updates + 1,
        )
        return state, state.updates != self.breaks_at

    def batched(self, state):
        return jax.tree.map(lambda _: False, state)._replace(alive=True, obs=True)

    def policy_params(self, state):
        return state.weights

    def init_carry(self, batch):
        return jnp.zeros((batch, 1))

    def act(self, params, carry, obs, reset, key, *, greedy=False):
        """Counts the steps since the reset; the action is random unless greedy."""
        carry = jnp.where(reset[:, None], 0, carry) + 1
        random = jax.random.randint(key, reset.shape, 0, 2)
        return carry, jnp.zeros_like(random) if greedy else random
