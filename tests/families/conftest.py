"""Families of other packages, in an environment that has them: `pytest tests/families`.

Without a package its tests skip; `.ci/run` runs them in an environment of their own.
"""

import pytest

from rlseq import registry
from rlseq.envs.family import lacks

# What these packages say on their import and of each other; everything else stays an error.
THEIRS = (
    "ignore:JAXopt is no longer maintained:DeprecationWarning",
    "ignore:Brax System, piplines and environments are not actively:UserWarning",
    "ignore:jax.core.pytype_aval_mappings is deprecated:DeprecationWarning",
    "ignore:Accessing `.*` directly from `.*` is deprecated:DeprecationWarning",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.nodeid.startswith("tests/families/"):
            for line in THEIRS:
                item.add_marker(pytest.mark.filterwarnings(line))


@pytest.fixture(name="needs")
def _needs():
    """Skips a test whose family has no package here."""

    def check(env_id):
        prefix = env_id.partition(":")[0]
        if (extra := lacks(prefix)) is not None:
            pytest.skip(f"{prefix} is not installed: {extra.command()}")

    return check


def extras():
    """Family -> extra, of all that have one."""
    loaded = {name: registry.load("env", name) for name in registry.names("env")}
    return {name: one.extra for name, one in loaded.items() if hasattr(one, "extra")}
