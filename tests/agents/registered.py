"""The smallest agent of every registered name, of the example and of one without environments."""

import atexit
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

import rlseq
from rlseq import registry
from rlseq.agents import agent_config
from rlseq.laws import agents as laws
from rlseq.laws.agent_cases import CORE, ENV_ID, ENVS, MODEL, UPDATES, needs_model, record, small
from tests.packaging.tree import ROOT

OTHERS = {"reinforce": "reinforce:Reinforce", "cloning": "tests.agents.cloning:Cloning"}
NAMES = [*registry.names("agent"), *OTHERS]


def add_others(monkeypatch):
    """Register what does not come with the package, until the patch is undone."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "examples")])
    monkeypatch.setitem(registry.TABLES, "agent", registry.TABLES["agent"] | OTHERS)


@cache
def recorded(env_id):
    """A file of what random actions do in an environment."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(record(env_id, folder))


@cache
def make(name, env_id=ENV_ID):
    """A tiny agent on `ENVS` environments."""
    settings = small(name)
    if "data" in agent_config(name).__dataclass_fields__:
        settings["data"] = recorded(env_id)
    model = MODEL if needs_model(name) else None
    env = rlseq.make_env(env_id, ENVS)
    return rlseq.make_agent(
        name, env, core=CORE, world_model=model, num_updates=UPDATES, **settings
    )


@cache
def case(name):
    """What the laws look at."""
    return laws.case(make(name))
