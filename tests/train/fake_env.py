"""A vectorised environment of NumPy-sized logic: slot e's k-th episode lasts e + k + 1 steps."""

import jax.numpy as jnp

from rlseq.types import EnvSpec, TimeStep


class FakeEnv:
    """Reward is the action plus 1; the observation is the step within the episode."""

    def __init__(self, num_envs: int):
        self.num_envs = num_envs
        self.spec = EnvSpec("fake:Env", None, None, True, None)

    def reset(self, key):
        zeros = jnp.zeros(self.num_envs, jnp.int32)
        nothing = jnp.zeros(self.num_envs, bool)
        obs = zeros[:, None].astype(jnp.float32)
        reward = jnp.zeros(self.num_envs)
        return (zeros, zeros), TimeStep(obs, reward, nothing, nothing, ~nothing, obs)

    def step(self, state, action, key):
        step, episode = state
        slot = jnp.arange(self.num_envs, dtype=jnp.int32)
        ended = step + 1 >= slot + episode + 1
        cut = episode % 2 == 1  # every other episode is cut instead of ended
        step = jnp.where(ended, 0, step + 1)
        obs = step[:, None].astype(jnp.float32)
        reward = action.astype(jnp.float32) + 1
        ts = TimeStep(obs, reward, ended & ~cut, ended & cut, ended, obs)
        return (step, episode + ended.astype(jnp.int32)), ts
