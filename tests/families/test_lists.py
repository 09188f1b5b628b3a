"""The names, rows of the catalogue and requirements are what the packages and pyproject say."""

import pytest

from rlseq import registry
from rlseq.envs import catalogue, env_ids, make_env
from tests.families.conftest import extras

ROWS = {i: row for i, row in catalogue.rows().items() if i.partition(":")[0] in extras()}


def craftax():
    from craftax.craftax_env import make_craftax_env_from_name

    return [n for n in names("craftax") if make_craftax_env_from_name(n, auto_reset=False)]


def brax():
    from brax import envs

    return sorted(set(envs._envs) - {"fast", "swimmer"})


def xminigrid():
    import xminigrid

    return xminigrid.registered_environments()


def names(family):
    return registry.load("env", family).ids()


@pytest.mark.parametrize("family", [brax, craftax, xminigrid], ids=lambda f: f.__name__)
def test_the_names_are_the_packages_own(family, needs):
    needs(family.__name__)
    assert sorted(names(family.__name__)) == sorted(family())


@pytest.mark.parametrize("env_id", ROWS)
def test_a_row_of_the_catalogue_is_what_the_environment_says(env_id, needs):
    needs(env_id)
    assert catalogue.described(env_id) == ROWS[env_id]


def test_every_id_has_a_row():
    assert list(ROWS) == [i for i in env_ids(missing=True) if i.partition(":")[0] in extras()]


def test_xlands_benchmarks_are_the_packages(needs):
    needs("xminigrid")
    import xminigrid

    from rlseq.envs.jax_families.xland_env import RULESETS

    assert RULESETS[1:] == xminigrid.registered_benchmarks()


def test_nothing_else_is_asked_of_brax_that_fails(needs):
    """`swimmer` is left out as long as brax cannot step it; the day it can, it is listed."""
    needs("brax")
    import jax
    from brax import envs

    env = envs.get_environment("swimmer")
    with pytest.raises(TypeError, match="a_min"):
        jax.eval_shape(lambda key: env.step(env.reset(key), jax.numpy.zeros(2)), jax.random.key(0))
    assert make_env("brax:hopper").spec.max_steps == 1000
