"""A core in other people's code needs jax, flax, optax and numpy, and nothing else of ours."""

import os

import pytest

from tests.packaging.test_examples import CHECKS, run
from tests.packaging.tree import python

# Refuses to import whatever is neither of those four nor needed by one of them.
ALONE = """
import importlib.abc, re, sys
from importlib import metadata


def canonical(name):
    return re.sub("[-_.]+", "-", name).lower()


def needed(name, found):
    if name not in found:
        try:
            asked = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            return found
        found.add(name)
        for one in asked:
            if "extra ==" not in one:
                needed(canonical(re.match("[A-Za-z0-9._-]+", one)[0]), found)
    return found


class Blocked(importlib.abc.MetaPathFinder):
    allowed = {"rlseq"}.union(*(needed(n, set()) for n in ("jax", "flax", "optax", "numpy")))
    owners = metadata.packages_distributions()

    def find_spec(self, name, path=None, target=None):
        found = {canonical(one) for one in self.owners.get(name.partition(".")[0], [])}
        if found and not found & self.allowed:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)


sys.meta_path.insert(0, Blocked())
"""
EVERY_CORE = """
import jax, jax.numpy as jnp, rlseq
for name in rlseq.core_names():
    fns = rlseq.functional(name, in_features=3, features=8)
    params = jax.eval_shape(fns.init, jax.random.key(0))
    carry = jax.eval_shape(lambda: fns.init_carry(2))
    x, reset = jnp.zeros((4, 2, 3)), jnp.zeros((4, 2), bool)
    assert jax.eval_shape(fns.scan, params, carry, x, reset)[1].shape == (4, 2, 8), name
    assert rlseq.make_core(name, features=8)
print(len(rlseq.core_names()))
"""


@pytest.mark.parametrize("name", ["gymnax", "hydra", "omegaconf", "matplotlib", "gymnasium"])
def test_other_packages_are_blocked(name, tmp_path):
    script = f"{ALONE}\ntry:\n    import {name}\nexcept ImportError as error:\n    print(error)"
    assert python(script, cwd=tmp_path, env=dict(os.environ)).strip() == f"blocked: {name}"


def test_every_core_is_made_without_other_packages(tmp_path):
    said = python(ALONE + EVERY_CORE, cwd=tmp_path, env=dict(os.environ))
    assert int(said) >= 23


@pytest.mark.parametrize("name", ["bare_scan", "weights"])
def test_the_embedding_examples_run_without_other_packages(name, tmp_path):
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    python(ALONE + run(name, CHECKS[name]), cwd=tmp_path, env=env)
