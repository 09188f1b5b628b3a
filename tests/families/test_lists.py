"""The names, rows of the catalogue and requirements are what the packages and pyproject say."""

import inspect
import re

import pytest

from rlseq import registry
from rlseq.envs import catalogue, env_ids
from rlseq.envs.jax_families.navix import NAMES
from tests.families.conftest import extras

ROWS = {i: row for i, row in catalogue.rows().items() if i.partition(":")[0] in extras()}


# Its textures take minutes to prepare, once an installation.
TEXTURES = "craftax:Craftax-Pixels-v1"
# One quick row of a family whose others take longer together.
QUICK = {"arcade": "BreakoutEasy", "navix": NAMES[0], "playground": "PendulumSwingup"}


def takes_long(env_id):
    family, _, name = env_id.partition(":")
    return env_id == TEXTURES or name != QUICK.get(family, name)


def craftax():
    """It has no list: the names that its function compares with, without those that restart."""
    from craftax import craftax_env

    text = inspect.getsource(craftax_env.make_craftax_env_from_name)
    return {name for name in re.findall(r'"(Craftax-[\w-]+)"', text) if "AutoReset" not in name}


def arcade():
    from popgym_arcade import registration

    return registration.REGISTERED_ENVIRONMENTS


def brax():
    from brax import envs

    return sorted(set(envs._envs) - {"fast", "swimmer"})


def jumanji():
    import jumanji

    made = {i: jumanji.make(i) for i in jumanji.registered_environments() if "Sokoban" not in i}
    return [i for i, env in made.items() if env.reward_spec.shape == ()]


def navix():
    import navix

    return navix.registry()


def playground():
    from mujoco_playground import dm_control_suite

    return dm_control_suite.ALL_ENVS


def pgx():
    """Those whose observation belongs to the only player."""
    import pgx

    return [i for i in pgx.available_envs() if pgx.make(i).num_players == 1]


def xminigrid():
    import xminigrid

    return xminigrid.registered_environments()


def names(family):
    return registry.load("env", family).ids()


FAMILIES = [arcade, brax, craftax, jumanji, navix, pgx, playground, xminigrid]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_the_names_are_the_packages_own(family, needs, loose_promotion):
    needs(family.__name__)
    assert sorted(names(family.__name__)) == sorted(family())


@pytest.mark.parametrize(
    "env_id", [pytest.param(i, marks=pytest.mark.slow) if takes_long(i) else i for i in ROWS]
)
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


def test_brax_still_fails_on_what_is_left_out(needs, loose_promotion):
    """`swimmer` is left out as long as brax cannot step it; the day it can, it is listed."""
    needs("brax")
    import jax
    from brax import envs

    env = envs.get_environment("swimmer")
    with pytest.raises(TypeError, match="a_min"):
        jax.eval_shape(lambda key: env.step(env.reset(key), jax.numpy.zeros(2)), jax.random.key(0))
