"""The smallest agent of every registered name, of the example and of one without environments."""

import atexit
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import jax
import numpy as np

import rlseq
from rlseq import registry
from rlseq.agents import agent_config
from rlseq.data.npz import save_npz
from rlseq.data.recording import Recording
from tests.agents.small import KEY
from tests.packaging.tree import ROOT

ENVS = 10  # no other axis of these states has that length
OTHERS = {"reinforce": "reinforce:Reinforce", "cloning": "tests.agents.cloning:Cloning"}
NAMES = [*registry.names("agent"), *OTHERS]
# Of the hyper-parameters of these names; an agent with others is tested with their defaults.
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


def add_others(monkeypatch):
    """Register what does not come with the package, until the patch is undone."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "examples")])
    monkeypatch.setitem(registry.TABLES, "agent", registry.TABLES["agent"] | OTHERS)


@cache
def recorded(env_id):
    """A file of what random actions do in an environment."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    env = rlseq.make_env(env_id, ENVS)
    with open(folder / "recorded.npz", "wb") as file:
        save_npz(random_play(env, 40), file)
    return str(folder / "recorded.npz")


def random_play(env, num_steps):
    """A recording of `num_steps` steps of every environment; what has not ended by then is cut."""

    def step(state, key):
        env_state, ts = state
        action = jax.vmap(env.spec.action_space.sample)(jax.random.split(key, env.num_envs))
        env_state, new = env.step(env_state, action, key)
        return (env_state, new), (ts.obs, action, new.reward, new.terminated, new.truncated)

    _, steps = jax.lax.scan(step, env.reset(KEY), jax.random.split(KEY, num_steps))
    obs, action, reward, terminated, truncated = jax.tree.map(
        lambda x: np.array(x.swapaxes(0, 1)).reshape(-1, *x.shape[2:]), steps
    )
    truncated[num_steps - 1 :: num_steps] |= ~terminated[num_steps - 1 :: num_steps]
    return Recording(obs, action, reward, terminated, truncated, {})


@cache
def make(name, env_id="probe:Leak"):
    """A tiny agent on `ENVS` environments."""
    known = agent_config(name).__dataclass_fields__
    settings = {key: value for key, value in SMALL.items() if key in known}
    if "data" in known:
        settings["data"] = recorded(env_id)
    needs_model = registry.load("agent", name).needs_world_model
    return rlseq.make_agent(
        name,
        rlseq.make_env(env_id, ENVS),
        core={"name": "gru", "features": 8, "layers": 1},
        world_model=MODEL if needs_model else None,
        num_updates=4,
        **(settings | OWN.get(name, {})),
    )


@cache
def fresh(name):
    """Its first state."""
    return make(name).init(KEY)


@cache
def trained(name):
    """(state, metrics) after one update."""
    return make(name).train(fresh(name), 1)
