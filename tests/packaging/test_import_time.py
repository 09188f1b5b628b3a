"""Importing rlseq and listing names stay light; what embedding a core needs stays a core."""

import os
import resource
import sys
from pathlib import Path

import pytest

from tests.packaging.tree import python

HEAVY = ("gymnax", "orbax", "hydra", "omegaconf", "matplotlib", "scipy", "optax", "ale_py")
MARK = "modules:"
LIST = "from rlseq.cli import main\nmain(['list', {kind!r}])\n"
EMBED = """
import jax, rlseq
fns = rlseq.functional("s5", in_features=3, features=4)
params = jax.eval_shape(fns.init, jax.random.key(0))
"""


def modules_after(script: str, folder: Path) -> set[str]:
    """Names, dotted ones too, of all modules that a fresh process has loaded."""
    script += f"\nimport sys; print({MARK!r}, *sys.modules)"
    said = python(script, cwd=folder, env=dict(os.environ))
    return set(said.rpartition(MARK)[2].split())


def test_importing_rlseq_imports_no_array_library(tmp_path):
    loaded = modules_after("import rlseq", tmp_path)
    assert not loaded & {"jax", "flax", "numpy", *HEAVY}


@pytest.mark.parametrize("kind", ["cores", "envs", "experiments", "agents"])
def test_listing_imports_nothing_heavy(kind, tmp_path):
    assert not modules_after(LIST.format(kind=kind), tmp_path) & {"flax", *HEAVY}


def test_an_embedded_core_brings_no_agent_environment_or_configuration(tmp_path):
    loaded = modules_after(EMBED, tmp_path)
    packages = {name.split(".")[1] for name in loaded if name.startswith("rlseq.")}
    assert "cores" in packages
    assert not packages & {
        "envs",
        "agents",
        "world_models",
        "configs",
        "config",
        "train",
        "analysis",
    }
    assert not loaded & {"gymnax", "orbax", "hydra", "matplotlib", "ale_py"}


@pytest.mark.skipif(sys.platform == "win32", reason="processor time of children is of Unix")
def test_listing_takes_at_most_half_as_long_again_as_jax_and_flax(tmp_path):
    # Processor time, best of three: what else runs on the machine hardly counts.
    def least(script: str) -> float:
        return min(_seconds(script, tmp_path) for _ in range(3))

    libraries = least("import jax, flax")
    for kind in ("cores", "envs"):
        assert least(LIST.format(kind=kind)) < 1.5 * libraries


def _seconds(script: str, folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(script, cwd=folder, env=dict(os.environ))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
