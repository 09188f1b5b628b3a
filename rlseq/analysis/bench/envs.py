"""Steps per second of JAX environments under random actions, raw and inside a PPO rollout."""

from functools import partial
from typing import Any

import jax
from jax import lax

import rlseq
from rlseq.agents import make_agent
from rlseq.agents.rollout import collect
from rlseq.analysis.bench.timing import seconds
from rlseq.envs import env_ids
from rlseq.types import VecEnv

STEPS = 256
FAMILIES = ("popgym:",)


def rows(sizes: tuple[int, ...] = (1, 64, 4096)) -> list[dict[str, object]]:
    """One row an environment id: raw steps/s for each number of environments, then a rollout's."""
    ids = [name for name in env_ids() if name.startswith(FAMILIES)]
    return [_row(name, sizes) for name in ids]


def _row(name: str, sizes: tuple[int, ...]) -> dict[str, object]:
    row: dict[str, object] = {"environment": name}
    for size in sizes:
        row[f"raw, {size:,} envs"] = _raw(rlseq.make_env(name, size))
    row["in a rollout (s5 x 2, 64 wide), 64 envs"] = _rollout(rlseq.make_env(name, 64))
    return row


def _raw(env: VecEnv) -> float:
    space = env.spec.action_space

    def body(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        act_key, env_key = jax.random.split(key)
        action = jax.vmap(space.sample)(jax.random.split(act_key, env.num_envs))
        state, ts = env.step(state, action, env_key)
        return state, ts.reward.sum()

    run = jax.jit(lambda state, key: lax.scan(body, state, jax.random.split(key, STEPS)))
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    return env.num_envs * STEPS / seconds(lambda: run(state, jax.random.key(1)))


def _rollout(env: VecEnv) -> float:
    agent: Any = make_agent("ppo", env, core={"name": "s5", "features": 64, "layers": 2})
    state = agent.init(jax.random.key(0))

    def run(state: Any) -> Any:
        return collect(agent.env, partial(agent._policy, state.params), state.actor, STEPS)

    compiled = jax.jit(run)
    return env.num_envs * STEPS / seconds(lambda: compiled(state))
