"""An agent that plays a real environment and learns nothing; as a script: player FOLDER CHUNKS.

What it does depends on all it has seen, so a frame that differs once shows in its state for ever.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rlseq.config import Config, EnvConfig, RunConfig
from rlseq.envs import make_env
from rlseq.train import build, loop
from tests.train.fake_job import make_folder

E, STEPS, CHUNK = 2, 16, 2


class PlayerState(NamedTuple):
    env_state: Any
    timestep: Any
    taste: jax.Array  # [E] float32, moved by everything seen
    key: jax.Array
    updates: jax.Array


class Player:
    """E games, STEPS steps an update; the key and all that was seen decide the actions."""

    steps_environment = True

    def __init__(self, env):
        self.env = env
        self.steps_per_update = E * STEPS

    def init(self, key):
        key, env_key = jax.random.split(key)
        env_state, ts = self.env.reset(env_key)
        return PlayerState(env_state, ts, jnp.zeros(E), key, jnp.int32(0))

    def train(self, state, num_updates):
        state, rewards = jax.lax.scan(self._step, state, length=num_updates * STEPS)
        state = state._replace(updates=state.updates + num_updates)
        one = jnp.float32(1)
        return state, {"return": rewards.sum(), "length": one, "episodes": one, "finite": one}

    def _step(self, state, _):
        key, act_key, env_key = jax.random.split(state.key, 3)
        drawn = jax.random.randint(act_key, (E,), 0, 1000)
        choice = (drawn + (1000 * state.taste).astype(jnp.int32)) % self.env.spec.action_space.n
        env_state, ts = self.env.step(state.env_state, choice, env_key)
        seen = ts.obs.astype(jnp.float32).reshape(E, -1).mean(-1)
        taste = 0.9 * state.taste + 0.01 * seen + ts.reward
        return PlayerState(env_state, ts, taste, key, state.updates), ts.reward.mean()

    def policy_params(self, state):
        return state.taste

    def init_carry(self, batch):
        return jnp.zeros((batch, 1))

    def act(self, params, carry, obs, reset, key, *, greedy=False):
        return carry, jnp.zeros(len(reset), jnp.int32)


def player_job(chunks: int, env_id: str = "atari:Breakout", seeds: int = 2, **options) -> build.Job:
    """Breakout with every die an emulator has: idle frames and sticky actions."""
    if env_id.startswith("atari:"):
        options = {"preset": "custom", "sticky": 0.25, "max_frames": 200} | options
    config = Config(
        env=EnvConfig(id=env_id, num_envs=E, options=options),
        core={"name": "none"},
        agent={"name": "player"},
        run=RunConfig(quiet=True, eval_episodes=0, checkpoint_every=2),
        seed=3,
        seeds=seeds,
        total_steps=chunks * CHUNK * E * STEPS,
    )
    env = make_env(env_id, E, action_log=CHUNK * STEPS, **options)
    return build.Job(config, Player(env), build.Schedule(E * STEPS, CHUNK, chunks))


if __name__ == "__main__":
    folder, length = Path(sys.argv[1]), int(sys.argv[2])
    print("starting", flush=True)
    loop.drive(player_job(length), make_folder(folder))
