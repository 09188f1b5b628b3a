"""Every registered family keeps the protocol of families."""

import pytest

from rlseq import fields, registry
from rlseq.envs import env_ids, family_of, make_env
from rlseq.errors import InputError
from rlseq.types import BatchedFamily, JaxFamily

FAMILIES = registry.names("env")


def first_id(prefix):
    return f"{prefix}:{registry.load('env', prefix).ids()[0]}"


@pytest.mark.parametrize("prefix", FAMILIES)
def test_a_family_builds_copies_or_one_environment(prefix):
    family = family_of(f"{prefix}:")
    assert isinstance(family, JaxFamily) != isinstance(family, BatchedFamily)


@pytest.mark.parametrize("prefix", FAMILIES)
def test_names_are_distinct_and_listed_by_family(prefix):
    names = registry.load("env", prefix).ids()
    assert names and len(set(names)) == len(names)
    every = env_ids(missing=True)
    assert [i for i in every if i.startswith(f"{prefix}:")] == [f"{prefix}:{n}" for n in names]


@pytest.mark.parametrize("env_id", env_ids(missing=True))
def test_every_name_has_one_line_and_declared_options(env_id):
    family, name = family_of(env_id), env_id.partition(":")[2]
    about = family.about(name)
    assert 10 < len(about) < 200 and "\n" not in about
    declared = family.options(name)
    assert all(fields.parse(annotation).base or annotation for annotation in declared.values())
    assert not {"num_envs", "observe", "action_log", "evaluation"} & set(declared)


@pytest.mark.parametrize("prefix", FAMILIES)
def test_unknown_names_and_options_are_input_errors(prefix):
    with pytest.raises(InputError, match="nknown"):
        make_env(f"{prefix}:NoSuchEnvironment-v0")
    with pytest.raises(InputError, match="no_such_option"):
        make_env(first_id(prefix), no_such_option=1)


def test_a_family_that_lacks_a_method_is_refused(monkeypatch):
    monkeypatch.setitem(registry.TABLES["env"], "half", "builtins:list")
    with pytest.raises(InputError, match=r"'half' has not all methods of rlseq.types.JaxFamily"):
        make_env("half:Anything")


def test_an_id_without_a_family_is_refused():
    with pytest.raises(InputError, match="unknown environment 'popgym'"):
        family_of("popgym")
