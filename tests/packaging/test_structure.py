"""Imports run one way, files and functions stay small, and the map of packages is complete."""

import ast
import os
from pathlib import Path

import pytest

import rlseq
from tests.packaging.tree import (
    LINKED,
    ROOT,
    SETUPTOOLS,
    TOP_NAMES,
    modules,
    our_imports,
    packages_on_disk,
    python,
)
from tests.packaging.tree import all_imports as imports_of

# Each package may import those of the lines above its own, and itself.
LEVELS = [
    ("types", "errors"),
    ("plugins",),
    ("registry", "programs", "fields", "docstrings"),
    ("scans", "rl"),
    ("nn", "replay", "data"),
    ("cores",),
    ("online",),
    ("envs",),
    ("world_models",),
    ("agents",),
    ("overrides",),
    ("config_errors", "config_yaml", "schema"),
    ("config_plugins",),
    ("config", "configs"),
    ("train",),
    ("laws",),
    ("analysis",),
    ("commands",),
    ("cli",),
    ("__main__",),
]
LEVEL = {package: level for level, packages in enumerate(LEVELS) for package in packages}
MAX_FILE, MAX_CODE, MAX_FUNCTION = 300, 35, 60  # lines: CONTRIBUTING.md, "Style"


def home(name: str) -> str | None:
    """The package of a dotted name; a name of the public face counts where it comes from."""
    package = name.split(".")[1]
    if package in rlseq._PUBLIC:
        return rlseq._PUBLIC[package].split(".")[1]
    return None if package in ("__version__", "__file__") else package


def test_every_package_has_its_level():
    packages = {name.split(".")[1] for name in modules() if name != "rlseq"}
    assert packages <= set(LEVEL)


def test_imports_run_one_way():
    wrong = []
    for found in our_imports():
        target = home(found.imported)
        source = found.importer.split(".")[1] if "." in found.importer else "rlseq"
        if target in (None, source):
            continue
        if source == "rlseq" or LEVEL[target] >= LEVEL[source]:
            wrong.append(f"{found.importer}:{found.line} imports {found.imported}")
    assert not wrong, "\n".join(wrong)


def test_the_rule_sees_imports_inside_functions():
    seen = {(found.importer, found.imported) for found in our_imports()}
    assert ("rlseq.commands.list", "rlseq.train.listing.listing") in seen


def test_one_file_knows_orbax():
    users = {name for name, path in modules().items() if _roots(path) & {"orbax"}}
    assert users == {"rlseq.train.checkpoint"}


@pytest.mark.parametrize("name", ["pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"])
def test_nothing_is_loaded_that_could_run_code(name):
    assert not [module for module, path in modules().items() if name in _roots(path)]
    assert not [m for m, path in modules().items() if "allow_pickle=True" in path.read_text()]


def test_modules_import_by_their_installed_names():
    wrong = {name for name, path in modules().items() if _roots(path) & set(TOP_NAMES)}
    assert not wrong


def test_files_and_functions_stay_small():
    long = []
    for name, path in modules().items():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MAX_FILE:
            long.append(name)
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef):
                continue
            docstring = _length(node.body[0]) if ast.get_docstring(node) else 0
            if _length(node) > MAX_FUNCTION or _length(node) - docstring > MAX_CODE:
                long.append(f"{name}.{node.name}")
    assert not long


def test_the_list_of_packages_is_what_the_folders_hold():
    assert sorted(SETUPTOOLS["packages"]) == sorted(packages_on_disk())
    for package in SETUPTOOLS["packages"]:
        assert package in modules(), f"{package} has no __init__.py"


@pytest.mark.parametrize("name", LINKED)
def test_the_folders_beside_the_package_are_linked_into_it(name):
    link = ROOT / "rlseq" / name
    assert link.is_symlink() and Path(os.readlink(link)) == Path("..", name)
    assert (link / "__init__.py").is_file()


@pytest.mark.parametrize("name", LINKED)
def test_the_checkout_is_not_importable_beside_the_package(name, tmp_path):
    # Else each class could exist twice: once as agents.ppo and once as rlseq.agents.ppo.
    find = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
    assert str(ROOT) not in python(find, cwd=tmp_path, env=dict(os.environ))


def test_the_package_imports_from_a_clone_that_is_not_installed(tmp_path):
    script = "import rlseq.agents.ppo as ppo, rlseq.configs as c; print(ppo.__file__, c.__file__)"
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    files = python(script, cwd=tmp_path, env=env).split()
    assert files == [
        str(ROOT / f"rlseq/{name}") for name in ("agents/ppo.py", "configs/__init__.py")
    ]


def _roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(path)}


def _length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
