"""Time popjaxrl's PPO on its own network and settings: `python popjaxrl_peer.py CHECKOUT CORE`.

CHECKOUT is a clone of luchris429/popjaxrl; CORE is s5 or gru. Its code is older than today's JAX,
flax and gymnax, so a few old names are put back before it is imported; what it computes is left
alone. Needs distrax besides rlseq's own dependencies. Prints one JSON line.
"""

import argparse
import importlib
import json
import resource
import sys
import time
import types
import typing
from functools import partial

import chex
import flax.linen as nn
import gymnax.wrappers.purerl as purerl
import jax
import jax.numpy as jnp
from gymnax.environments import environment, spaces

SETTINGS = {
    "LR": 5e-5, "NUM_ENVS": 64, "NUM_STEPS": 1024, "NUM_MINIBATCHES": 8, "GAMMA": 0.99,
    "GAE_LAMBDA": 1.0, "CLIP_EPS": 0.2, "ENT_COEF": 0.0, "VF_COEF": 1.0, "MAX_GRAD_NORM": 0.5,
    "ANNEAL_LR": False, "DEBUG": False, "S5_D_MODEL": 256, "S5_SSM_SIZE": 256, "S5_N_LAYERS": 4,
    "S5_BLOCKS": 1, "S5_ACTIVATION": "full_glu", "S5_DO_NORM": False, "S5_PRENORM": False,
    "S5_DO_GTRXL_NORM": False,
}  # fmt: skip


class OldGRUCell(nn.GRUCell):
    """flax's cell with the interface of 2023: no features, and a static initial carry."""

    features: int = 256

    @staticmethod
    def initialize_carry(key, batch_dims, size):
        return jnp.zeros((*batch_dims, size))


def step_with_five_values(self, key, state, action, params=None):
    """gymnax 0.0.x: reset at every step, one `done`."""
    step_key, reset_key = jax.random.split(key)
    obs, new, reward, done, info = self.step_env(step_key, state, action, params)
    first, fresh = self.reset_env(reset_key, params)
    new = jax.tree.map(lambda a, b: jax.lax.select(done, a, b), fresh, new)
    return jax.lax.select(done, first, obs), new, reward, done, info


def is_terminated(self, state, params):
    """gymnax 1.0's name for what gymnax 0.0.x calls is_terminal."""
    return self.is_terminal(state, params)


def put_back_old_names() -> None:
    jnp.DeviceArray = jax.Array
    nn.GRUCell = OldGRUCell
    sys.modules["wandb"] = types.ModuleType("wandb")
    environment.Environment.step = step_with_five_values
    environment.Environment.is_terminated = is_terminated
    old = {"Optional": typing.Optional, "Tuple": tuple, "Union": typing.Union, "partial": partial}
    for name, value in {**old, "chex": chex, "spaces": spaces, "environment": environment}.items():
        setattr(purerl, name, value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout")
    parser.add_argument("core", choices=["s5", "gru"])
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    put_back_old_names()
    sys.path.insert(0, options.checkout)
    env, params = importlib.import_module("envs").make("RepeatPreviousHard")
    wrap = importlib.import_module("envs.wrappers").AliasPrevActionV2
    steps = options.updates * SETTINGS["NUM_ENVS"] * SETTINGS["NUM_STEPS"]
    config = SETTINGS | {"ENV": wrap(env), "ENV_PARAMS": params}
    config |= {"TOTAL_TIMESTEPS": steps, "UPDATE_EPOCHS": options.epochs}
    train = importlib.import_module(f"algorithms.ppo_{options.core}").make_train(config)
    key = jax.random.PRNGKey(0)
    start = time.perf_counter()
    compiled = jax.jit(train).lower(key).compile()
    compiling = time.perf_counter() - start
    start = time.perf_counter()
    jax.block_until_ready(compiled(key))
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    row = {"core": options.core, "compile s": compiling, "steps/s": steps / took, "peak MB": peak}
    print(json.dumps(row))


if __name__ == "__main__":
    main()
