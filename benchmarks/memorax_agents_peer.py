"""Recurrent PQN and R2D2 beside memorax's: `python memorax_agents_peer.py CHECKOUT [AGENT ...]`.

CHECKOUT is a clone of memory-rl/memorax, whose agents run here as they are, in one process with
ours: under Python 3.12, with its dependencies (jax, flax, flashbax, distrax, lox of
huterguier/lox and the loggers that it imports) beside rlseq's. The task is gymnax's MemoryChain for
both. gymnax 1.0 tells truncation apart, so its two flags are joined again for the peer.

The networks are the same: dense layers of 256 (two in PQN, normalised, one in R2D2), a GRU of 256,
a dense layer of 256 and the values; so are environments, rollouts, sequences, batches and passes.
R2D2 has what both have: no dueling, values that are not rescaled, sequences from any step on. Its
targets differ: ours are of double Q-learning. SAC is left out: memorax's learns from single steps.

Time is the difference of two runs of another length, turn and turn about, so that neither
initialisation nor warm-up counts. Prints a JSON line an agent: steps per second (median), compile
seconds of the longer run, parameters, and the ratio of speeds, ours to memorax's, of every pair.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import gymnax
import jax
import optax
from side_by_side import compare

import rlseq

WIDTH, MEMORY, GAMMA = 256, 100, 0.99
UPDATES = {"pqn": (1, 5), "r2d2": (10, 60)}  # of the shorter and the longer run
PQN = {"num_steps": 128, "epochs": 4, "minibatches": 16, "lr": 1e-3, "lam": 0.95}
R2D2 = {
    "num_steps": 4, "warmup": 4096, "capacity": 100_000, "batch": 32, "length": 40, "burn_in": 20,
    "n_step": 5, "target_period": 400, "lr": 3e-4,
}  # fmt: skip
ENVS = {"pqn": 32, "r2d2": 16}
STEPS = {"pqn": ENVS["pqn"] * PQN["num_steps"], "r2d2": ENVS["r2d2"] * R2D2["num_steps"]}


class OneDone:
    """An environment of gymnax 1.0 with one `done`, as memorax expects it."""

    def __init__(self, env: Any):
        self.env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def step(self, key, state, action, params):
        obs, state, reward, terminated, truncated, info = self.env.step(key, state, action, params)
        return obs, state, reward, terminated | truncated, info


class Dense(nn.Module):
    """A block for memorax's `Stack`: ours of the same size."""

    norm: bool

    @nn.compact
    def __call__(self, x, **_):
        x = nn.Dense(WIDTH)(x)
        return None, nn.leaky_relu(nn.LayerNorm()(x) if self.norm else x)


def peer_parts(before: int, norm: bool) -> tuple[Any, Any, nn.Module]:
    """memorax's (environment, its params, network with so many dense layers before the core)."""
    networks = importlib.import_module("memorax.networks")
    wrappers = importlib.import_module("memorax.environments.wrappers")
    env, params = gymnax.make("MemoryChain-bsuite")
    params = params.replace(memory_length=MEMORY)
    dense = [Dense(norm) for _ in range(before + 1)]
    core = networks.RNN(cell=nn.GRUCell(features=WIDTH))
    network = networks.Network(
        feature_extractor=networks.FeatureExtractor(observation_extractor=lambda x: x),
        torso=networks.Stack(blocks=(*dense[1:], core, dense[0])),
        head=networks.heads.DiscreteQNetwork(env.action_space(params).n, gamma=GAMMA),
    )
    return wrappers.RecordEpisodeStatistics(OneDone(env)), params, network


def peer_pqn() -> Any:
    """memorax's agent."""
    algorithms = importlib.import_module("memorax.algorithms")
    config = algorithms.PQNConfig(
        num_envs=ENVS["pqn"],
        num_steps=PQN["num_steps"],
        td_lambda=PQN["lam"],
        num_minibatches=PQN["minibatches"],
        update_epochs=PQN["epochs"],
    )
    optimiser = optax.chain(optax.clip_by_global_norm(10.0), optax.radam(PQN["lr"]))
    epsilon = optax.linear_schedule(1.0, 0.01, STEPS["pqn"])
    return algorithms.PQN(config, *peer_parts(2, norm=True), optimiser, epsilon)


def peer_r2d2() -> Any:
    """memorax's agent."""
    algorithms = importlib.import_module("memorax.algorithms")
    buffers = importlib.import_module("memorax.buffers")
    c = R2D2
    # Its sequences hold the burn-in, and n - 1 steps less have a target.
    sequence = c["burn_in"] + c["length"] + c["n_step"] - 1
    config = algorithms.R2D2Config(
        num_envs=ENVS["r2d2"],
        tau=1.0,
        target_update_frequency=c["target_period"] * STEPS["r2d2"],
        train_frequency=STEPS["r2d2"],
        burn_in_length=c["burn_in"],
        sequence_length=sequence,
        n_step=c["n_step"],
    )
    buffer = buffers.make_prioritised_episode_buffer(
        max_length=c["capacity"],
        min_length=c["warmup"],
        sample_batch_size=c["batch"],
        sample_sequence_length=sequence,
        get_start_flags=buffers.get_full_start_flags,
        add_batch_size=ENVS["r2d2"],
        add_sequences=True,
        priority_exponent=config.priority_exponent,
        device=jax.default_backend(),
    )
    optimiser = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(c["lr"], eps=1.5e-4))
    epsilon = optax.linear_schedule(1.0, 0.01, 10_000)
    beta = optax.constant_schedule(config.importance_sampling_exponent)
    parts = peer_parts(1, norm=False)
    return algorithms.R2D2(config, *parts, optimiser, buffer, epsilon, beta)


def peer(name: str, updates: int) -> Callable:
    """key -> (parameters, returns of the last episodes) of memorax, without what it logs."""
    agent = {"pqn": peer_pqn, "r2d2": peer_r2d2}[name]()
    warmup = R2D2["warmup"] if name == "r2d2" else 0

    def program(key):
        init_key, warmup_key, train_key = jax.random.split(key, 3)
        state = agent.warmup(warmup_key, agent.init(init_key), warmup)
        state = agent.train(train_key, state, updates * STEPS[name])
        return state.params, state.env_state.returned_episode_returns

    return jax.jit(program)


def ours(name: str, updates: int) -> Callable:
    """The same of rlseq."""
    env = rlseq.make_env("gymnax:MemoryChain-bsuite", ENVS[name], memory_length=MEMORY)
    options: dict[str, Any] = {"encoder": WIDTH, "head": WIDTH, "gamma": GAMMA}
    if name == "pqn":
        options |= PQN | {"schedule": "constant"}
    else:
        options |= R2D2 | {
            "n_step_first": R2D2["n_step"], "gamma_first": GAMMA,
            "dueling": False, "value_head": "scalar",
        }  # fmt: skip
        # Rounds of the warm-up, the last of which learns.
        updates += R2D2["warmup"] // STEPS[name] - 1
    core = {"name": "gru", "features": WIDTH, "layers": 1}
    agent = rlseq.make_agent(name, env, core=core, num_updates=updates, **options)

    def program(key):
        state, metrics = agent.train(agent.init(key), updates)
        network = state.params.network if name == "pqn" else state.learner.network
        return network, metrics["return"]

    return jax.jit(program)


def row_of(name: str, repeats: int) -> dict:
    """The JSON line of one agent."""
    makers = {"memorax": partial(peer, name), "rlseq": partial(ours, name)}
    keys = dict.fromkeys(makers, jax.random.key(0))
    updates = UPDATES[name]
    sizes = {who: jax.eval_shape(make(updates[0]), keys[who])[0] for who, make in makers.items()}
    return {
        "agent": name,
        **compare(makers, keys, updates, STEPS[name], repeats),
        "parameters": {who: sum(x.size for x in jax.tree.leaves(s)) for who, s in sizes.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout")
    parser.add_argument("agents", nargs="*", choices=[[], *UPDATES], help="all without any")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    sys.path.insert(0, options.checkout)
    machine = {"jax": jax.__version__, "device": jax.devices()[0].device_kind}
    for name in options.agents or UPDATES:
        print(json.dumps({**machine, **row_of(name, options.repeats)}), flush=True)


if __name__ == "__main__":
    main()
