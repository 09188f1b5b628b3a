"""A core beside gymnasium environments: NumPy goes in and comes out, the carry stays in JAX.

The policy is untrained; what matters is the loop, and above all when `reset` is True. Run:
python examples/gymnasium_numpy.py
"""

import gymnasium
import jax
import numpy as np

import rlseq

ENVS, WIDTH, ACTIONS = 4, 32, 2

core = rlseq.functional("s5", in_features=4, features=WIDTH)


@jax.jit
def act(params, carry, obs, reset, key):
    """One step: (carry, actions [E]) for obs [E, 4] and reset [E]."""
    carry, y = core.step(params["core"], carry, obs, reset)
    return carry, jax.random.categorical(key, y @ params["head"])


def main(steps=200):
    """Play `steps` steps; the lengths of the episodes that ended."""
    keys = jax.random.split(jax.random.key(0), 3)
    head = jax.random.normal(keys[1], (WIDTH, ACTIONS))
    params = {"core": core.init(keys[0]), "head": head}
    make = [lambda: gymnasium.make("CartPole-v1")] * ENVS
    envs = gymnasium.vector.SyncVectorEnv(make)
    obs, _ = envs.reset(seed=0)
    carry = core.init_carry(ENVS)
    reset, ended = (
        np.ones(ENVS, bool),
        np.zeros(ENVS, bool),
    )  # the first observations begin episodes
    lengths, running = [], np.zeros(ENVS, int)
    for key in jax.random.split(keys[2], steps):
        carry, action = act(params, carry, obs, reset, key)  # JAX takes the NumPy arrays
        obs, _, terminated, truncated, _ = envs.step(np.asarray(action))
        # gymnasium begins the next episode one call after an end: that call ignores its action and
        # returns the first observation. So what ended a call ago is what begins now.
        reset, ended = ended, terminated | truncated
        running = np.where(reset, 0, running + 1)
        lengths += running[ended].tolist()
    envs.close()
    print(f"{len(lengths)} episodes, {np.mean(lengths):.0f} steps each")
    return lengths


if __name__ == "__main__":
    main()
