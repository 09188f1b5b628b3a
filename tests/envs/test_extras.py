"""Families whose package may be missing: listed apart, and an error that names the extra."""

import importlib.util
import os
import re
from importlib import metadata

import pytest

import rlseq
from rlseq import registry
from rlseq.analysis.gallery import gallery
from rlseq.envs import env_ids, make_env
from rlseq.envs.family import lacks
from rlseq.errors import InputError
from rlseq.train.listing import listing
from tests.own_envs import OWN
from tests.packaging.tree import PROJECT, python

EXTRA = [name for name in registry.names("env") if name not in OWN]


@pytest.fixture
def nothing_installed(monkeypatch):
    """As if none of the packages were there."""
    modules = {registry.load("env", name).extra.module for name in EXTRA}
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name in modules else find(name, *a)
    )


def first_id(prefix):
    return f"{prefix}:{registry.load('env', prefix).ids()[0]}"


@pytest.mark.parametrize("prefix", EXTRA)
def test_a_missing_package_is_an_error_that_names_the_extra(prefix, nothing_installed):
    extra = registry.load("env", prefix).extra
    command = rf"{first_id(prefix)} needs the package .*: pip install 'rlseq\[{extra.name}\]'"
    with pytest.raises(InputError, match=command):
        make_env(first_id(prefix))


@pytest.mark.parametrize("prefix", EXTRA)
def test_an_unknown_name_comes_first_with_the_nearest(prefix, nothing_installed):
    with pytest.raises(InputError, match=r"nknown .* Did you mean"):
        make_env(first_id(prefix)[:-1] + "q")


@pytest.mark.parametrize("prefix", EXTRA)
def test_a_package_of_another_version_is_named(prefix, monkeypatch):
    extra = registry.load("env", prefix).extra
    monkeypatch.setattr(type(extra), "installed", lambda self: True)
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.1")
    with pytest.raises(InputError, match=f"{extra.requirement}, 0.0.1 is installed"):
        make_env(first_id(prefix))


@pytest.mark.parametrize("prefix", EXTRA)
def test_the_extra_is_that_of_the_project(prefix):
    extra = registry.load("env", prefix).extra
    listed = list(extra.lists) or [extra.requirement]
    assert PROJECT["project"]["optional-dependencies"][extra.name] == listed


def test_a_package_that_goes_in_alone_has_its_own_command(nothing_installed):
    command = "pip install 'rlseq[arcade]' && pip install --no-deps 'popgym-arcade==0.0.7'"
    assert registry.load("env", "arcade").extra.command() == command
    with pytest.raises(InputError, match=re.escape(f"needs the package popgym-arcade: {command}")):
        make_env("arcade:CartPoleEasy")


def test_what_writes_over_gymnax_is_named_with_the_remedy(monkeypatch):
    extra = registry.load("env", "arcade").extra
    monkeypatch.setattr(type(extra), "installed", lambda self: True)
    monkeypatch.setattr(metadata, "version", lambda name: "0.0.7")
    monkeypatch.setattr(metadata, "distributions", lambda name: [name])
    with pytest.raises(InputError, match=r"stable-gymnax is installed .* --no-deps 'gymnax"):
        make_env("arcade:CartPoleEasy")


def test_what_is_missing_is_listed_apart(nothing_installed):
    about = dict(listing("envs"))
    for prefix in EXTRA:
        extra, count = registry.load("env", prefix).extra, len(registry.load("env", prefix).ids())
        line = f"not installed, {count} more: {extra.command()}"
        assert about[f"{prefix}:"] == line
        assert lacks(prefix) == extra
        assert not [i for i in about if i.startswith(f"{prefix}:") and i != f"{prefix}:"]
    assert {i.partition(":")[0] for i in env_ids()} == set(OWN)


def test_the_gallery_says_why_there_is_no_image(nothing_installed, tmp_path):
    said = []
    assert gallery(tmp_path, [first_id(EXTRA[0])], said.append) == [tmp_path / "README.md"]
    assert f"pip install 'rlseq[{EXTRA[0]}]'" in said[0]


def test_importing_and_listing_import_none_of_them(tmp_path):
    modules = {registry.load("env", name).extra.module for name in EXTRA}
    script = (
        "import sys, rlseq\nfrom rlseq.cli import main\nmain(['list', 'envs'])\n"
        f"print({sorted(modules)!r} and [m for m in {sorted(modules)!r} if m in sys.modules])"
    )
    assert python(script, cwd=tmp_path, env=dict(os.environ)).rstrip().endswith("[]")
    assert rlseq.__version__
