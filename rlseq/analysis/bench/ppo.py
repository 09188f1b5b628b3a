"""Recurrent PPO on the network and settings of S5-RL (Lu et al. 2303.03982, POPGym)."""

import time
from typing import Any

import jax

import rlseq
from rlseq.agents import make_agent
from rlseq.analysis.bench.timing import matmul_flops, matmul_rate, peak_megabytes

NUM_ENVS, NUM_STEPS, MINIBATCHES, WIDTH = 64, 1024, 8, 256
CORES = {
    "s5": {"name": "s5", "features": WIDTH, "layers": 4},
    "gru": {"name": "gru", "features": WIDTH, "layers": 1},
}
SETTINGS = {
    "num_steps": NUM_STEPS,
    "epochs": 4,
    "minibatches": MINIBATCHES,
    "lr": 5e-5,
    "schedule": "constant",
    "lam": 1.0,
    "value_clip": 0.2,
    "value_coef": 1.0,
    "entropy_coef": 0.0,
}


def rows(cores: tuple[str, ...] = ("s5", "gru"), updates: int = 3) -> list[dict[str, object]]:
    """One row a core. Peak memory is that of the process after its first update, before anything
    is measured, and so of the largest core so far."""
    return [_row(core, updates) for core in cores]


def _row(core: str, updates: int) -> dict[str, object]:
    start = time.perf_counter()
    agent = _agent(core)
    state = agent.init(jax.random.key(0))
    compiled = agent.train.lower(agent, state, 1).compile()
    compiling = time.perf_counter() - start
    state, metrics = jax.block_until_ready(compiled(state))
    peak = peak_megabytes()
    flops = matmul_flops(lambda s: type(agent).train.__wrapped__(agent, s, 1), state)
    times, rates = [], []
    for _ in range(updates):
        rates.append(matmul_rate(NUM_ENVS * NUM_STEPS // MINIBATCHES, WIDTH))
        begin = time.perf_counter()
        state, metrics = compiled(state)
        jax.block_until_ready(metrics)
        times.append(time.perf_counter() - begin)
    took, rate = sorted(times)[updates // 2], sorted(rates)[updates // 2]
    return {
        "core": core,
        "compile s": compiling,
        "steps/s": NUM_ENVS * NUM_STEPS / took,
        "GFLOP/s": flops / took / 1e9,
        "matmul GFLOP/s": rate / 1e9,
        "share of matmul": flops / took / rate,
        "peak MB": peak,
    }


def _agent(core: str) -> Any:
    env = rlseq.make_env(
        "popgym:RepeatPreviousHard", NUM_ENVS, previous_action=True, start_flag=True
    )
    return make_agent("ppo", env, core=CORES[core], num_updates=1, **SETTINGS)
