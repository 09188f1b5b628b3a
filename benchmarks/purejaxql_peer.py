"""Recurrent PQN beside purejaxql's: `python purejaxql_peer.py CHECKOUT [--return-steps N]`.

CHECKOUT is a clone of mttga/purejaxql, whose `pqn_rnn_gymnax` runs here as it is: its settings for
MemoryChain (`pqn_rnn_memory_chain.yaml`), a GRU of 256 between dense layers of 256, ours of the
same sizes and with the same rollouts, minibatches and epochs. gymnax 1.0 tells truncation apart, so
its two flags are joined again for the peer. Needs wandb, which it imports, beside rlseq's own
dependencies.

An update is timed as the difference of two runs of another length, turn and turn about, so that
neither initialisation nor the peer's random first rollout counts. With `--return-steps` both train
that long and the mean return of the last tenth is printed, of each seed. Prints one JSON line.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from side_by_side import compare

import rlseq

ENVS, STEPS, SHORT, LONG, MEMORY = 32, 128, 2, 8, 100
PEER = {
    "NUM_ENVS": ENVS, "NUM_STEPS": STEPS, "MEMORY_WINDOW": 4, "EPS_START": 1.0, "EPS_FINISH": 0.01,
    "EPS_DECAY": 0.1, "NUM_MINIBATCHES": 16, "NUM_EPOCHS": 4, "NORM_INPUT": False,
    "HIDDEN_SIZE": 256, "NUM_LAYERS": 2, "NORM_TYPE": "layer_norm", "LR": 1e-3,
    "MAX_GRAD_NORM": 10, "LR_LINEAR_DECAY": False, "REW_SCALE": 1.0, "GAMMA": 0.99, "LAMBDA": 0.95,
    "ENV_NAME": "MemoryChain-bsuite", "ENV_KWARGS": {"memory_length": MEMORY},
    "TEST_DURING_TRAINING": False, "WANDB_MODE": "disabled",
}  # fmt: skip
OURS = {
    "num_steps": STEPS, "minibatches": 16, "epochs": 4, "lr": 1e-3, "schedule": "constant",
    "exploration": 0.1, "gamma": 0.99, "lam": 0.95, "encoder": 256, "head": 256,
}  # fmt: skip


def peer_module(checkout: str):
    """purejaxql's script, with one `done` from gymnax 1.0."""
    sys.path.insert(0, checkout)
    module = importlib.import_module("purejaxql.pqn_rnn_gymnax")

    class OneDone(module.LogWrapper):
        def step(self, key, state, action, params=None):
            obs, state, reward, terminated, truncated, info = super().step(
                key, state, action, params
            )
            return obs, state, reward, terminated | truncated, info

    module.LogWrapper = OneDone
    return module


def peer(module, updates: int) -> Callable:
    """key -> mean return of the episodes that ended, one an update."""
    steps = updates * ENVS * STEPS
    config = {**PEER, "TOTAL_TIMESTEPS": steps, "TOTAL_TIMESTEPS_DECAY": steps}
    train = module.make_train(config)
    # The mean over a rollout of the last episode's return; episodes end all together.
    return jax.jit(lambda key: train(key)["metrics"]["returned_episode_returns"])


def ours(updates: int) -> Callable:
    """The same of rlseq."""
    env = rlseq.make_env(
        "gymnax:MemoryChain-bsuite", ENVS, previous_action=True, memory_length=MEMORY
    )
    core = {"name": "gru", "features": 256, "layers": 1}
    agent = rlseq.make_agent("pqn", env, core=core, num_updates=updates, **OURS)

    def update(state, _):
        state, metrics = agent.train(state, 1)
        return state, metrics["return"]

    return jax.jit(lambda key: jax.lax.scan(update, agent.init(key), None, updates)[1])


def final_returns(makers: dict[str, Callable], steps: int, seeds: int) -> dict:
    """Mean return over the last tenth of `steps`, of each seed."""
    updates = steps // (ENVS * STEPS)
    found = {}
    for name, make in makers.items():
        program, kind = make(updates), jax.random.PRNGKey if name == "purejaxql" else jax.random.key
        curves = [program(kind(seed)) for seed in range(seeds)]
        found[name] = [round(float(jnp.mean(curve[-(updates // 10) :])), 3) for curve in curves]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--return-steps", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    makers = {"purejaxql": partial(peer, peer_module(options.checkout)), "rlseq": ours}
    keys = {"purejaxql": jax.random.PRNGKey(0), "rlseq": jax.random.key(0)}
    row = {}
    if options.repeats:
        row = compare(makers, keys, (SHORT, LONG), ENVS * STEPS, options.repeats)
    if options.return_steps:
        row["returns"] = final_returns(makers, options.return_steps, options.seeds)
    print(json.dumps({"jax": jax.__version__, "device": jax.devices()[0].device_kind, **row}))


if __name__ == "__main__":
    main()
