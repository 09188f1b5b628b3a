"""Hashes of Atari frames, to compare runs; as a script, prints the one of two games at once."""

import hashlib

import jax
import numpy as np

from rlseq.envs import make_env


def hashed(num_envs: int, **options) -> str:
    """Of the first game's frames over 100 steps with dice of every kind."""
    env = make_env("atari:Seaquest", num_envs, preset="custom", sticky=0.25, **options)
    seeds = np.arange(5, 5 + num_envs, dtype=np.int32)
    actions = np.random.default_rng(0).integers(0, 18, (100, 1)).repeat(num_envs, 1)

    def run(actions):
        emulator = env._make(num_envs)
        token, frames = emulator.reset(seeds)

        def body(token, action):
            token, frames = emulator.step(token, action)
            return token, frames.obs[0]

        return frames.obs[0], jax.lax.scan(body, token, actions)[1]

    frames = jax.jit(run)(actions.astype(np.int32))
    return hashlib.sha1(b"".join(np.asarray(f).tobytes() for f in frames)).hexdigest()


if __name__ == "__main__":
    print(hashed(2))
