"""The smallest agents that still show what an agent does: compiling is what takes long."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlseq import agents, fields, registry
from rlseq.agents import agent_config
from rlseq.data.npz import save_npz
from rlseq.data.recording import Recording
from rlseq.envs import make_env
from rlseq.errors import InputError
from rlseq.types import VecEnv

ENVS = 10  # no other axis of these states has that length
ENV_ID = "probe:Leak"
CORE = {"name": "gru", "features": 8, "layers": 1}
# Of the hyper-parameters of these names; an agent with others is looked at with their defaults.
SMALL = {
    "num_steps": 8, "epochs": 2, "minibatches": 1, "encoder": 8, "head": 8, "actor": 8, "critic": 8,
    "capacity": 16 * ENVS, "batch": 3, "length": 4, "contexts": 5, "context": 3, "horizon": 3,
}  # fmt: skip
OWN = {
    "imagination": {"warmup": 8 * ENVS},
    "r2d2": {"warmup": 8 * ENVS, "burn_in": 2, "n_step": 2, "n_step_first": 2, "target_period": 2},
    "sac": {"warmup": 8 * ENVS, "burn_in": 2},
}  # they learn from their first update on
MODEL = {
    "name": "drama", "preset": "nano", "widths": [8], "latents": 2, "classes": 3, "head": 8,
}  # fmt: skip
RECORDED = 40  # steps of every environment
UPDATES = 4  # of the whole run, for schedules


def small(name: str) -> dict[str, Any]:
    """The small hyper-parameters that an agent knows and allows. Raises InputError for an unknown
    agent and one that is none."""
    declared = fields.of(agent_config(name))
    settings = {key: value for key, value in SMALL.items() if _fits(declared, key, value)}
    return settings | OWN.get(name, {})


def random_play(env: VecEnv, num_steps: int) -> Recording:
    """A recording of `num_steps` steps of every environment; what has not ended by then is cut."""

    def step(state: Any, key: jax.Array) -> tuple[Any, Any]:
        env_state, ts = state
        action = jax.vmap(env.spec.action_space.sample)(jax.random.split(key, env.num_envs))
        env_state, new = env.step(env_state, action, key)
        return (env_state, new), (ts.obs, action, new.reward, new.terminated, new.truncated)

    key = jax.random.key(0)
    _, steps = jax.lax.scan(step, env.reset(key), jax.random.split(key, num_steps))
    obs, action, reward, terminated, truncated = jax.tree.map(
        lambda x: np.array(x.swapaxes(0, 1)).reshape(-1, *x.shape[2:]), steps
    )
    truncated[num_steps - 1 :: num_steps] |= ~terminated[num_steps - 1 :: num_steps]
    return Recording(obs, action, reward, terminated, truncated, {})


def record(env_id: str, folder: Path) -> Path:
    """A file in `folder` of what random actions do in an environment, to learn from."""
    path = folder / "recorded.npz"
    with open(path, "wb") as file:
        save_npz(random_play(make_env(env_id, ENVS), RECORDED), file)
    return path


def needs_model(name: str) -> bool:
    """Whether an agent takes a world model."""
    return registry.load("agent", name).needs_world_model


def steps_of(name: str, options: dict[str, Any], num_envs: int) -> int:
    """Environment steps of `UPDATES` updates."""
    return UPDATES * agents.update_steps(name, options, num_envs)


def _fits(declared: dict[str, Any], key: str, value: Any) -> bool:
    if key not in declared:
        return False
    try:
        fields.check(key, declared[key], value)
    except InputError:
        return False
    return True
