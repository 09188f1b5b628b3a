"""What a wheel holds, and that it works from anywhere without the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import setuptools

import rlseq
from tests.packaging.tree import FOLDERS, PROJECT, ROOT, TOP_NAMES, modules, python

NOT_SOURCE = shutil.ignore_patterns(
    ".*", "__pycache__", "build", "dist", "*.egg-info", "runs", "outputs", "multirun", "results"
)
FIND = """
import importlib.util
spec = importlib.util.find_spec({!r})
print(*(spec.submodule_search_locations or []) if spec else (), sep="\\n")
"""
COMPOSE = """
import importlib.resources
from rlseq.config import compose

folder = importlib.resources.files("rlseq.configs")
for group in folder.iterdir():
    if group.is_dir() and not group.name.startswith("_"):
        for file in group.iterdir():
            if file.name.endswith(".yaml"):
                choice = f"{group.name}={file.name.removesuffix('.yaml')}"
                compose([choice])
                print(choice)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy of the tree: building leaves files beside the sources."""
    tree, out = tmp_path_factory.mktemp("copy") / "rlseq", tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, tree, ignore=NOT_SOURCE, symlinks=True)
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", str(out), str(tree)]
    if int(setuptools.__version__.split(".")[0]) >= 77:  # the test extra has it: no download
        command.append("--no-build-isolation")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "would be ignored" not in done.stdout
    [built] = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def inside(wheel) -> list[str]:
    """The names of the files in the wheel."""
    return zipfile.ZipFile(wheel).namelist()


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture
def run(unpacked, tmp_path):
    """Runs a script with the unpacked wheel first on the path, from an empty folder."""
    env = os.environ | {"PYTHONPATH": str(unpacked)}
    return lambda script: python(script, cwd=tmp_path, env=env)


def test_it_installs_rlseq_and_nothing_else(inside):
    info = f"rlseq-{rlseq.__version__}.dist-info"
    assert {name.split("/")[0] for name in inside} == {"rlseq", info}


def test_it_holds_every_module_under_its_name(inside):
    built = {name for name in inside if name.endswith(".py")}
    expected = set()
    for module, path in modules().items():
        name = module.replace(".", "/")
        expected.add(f"{name}/__init__.py" if path.name == "__init__.py" else f"{name}.py")
    assert built == expected


def test_it_holds_the_data_and_nothing_odd(inside):
    yaml = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert yaml and {f"rlseq/{name}" for name in yaml} <= set(inside)
    assert "rlseq/py.typed" in inside
    assert {f"rlseq/analysis/data/atari100k_{kind}.csv" for kind in ("scores", "runs")} <= set(
        inside
    )
    kinds = {Path(name).suffix for name in inside if name.startswith("rlseq/")}
    assert kinds <= {".py", ".typed", ".yaml", ".json", ".csv"}


def test_its_metadata_has_the_licence_and_the_version(wheel, inside):
    info = f"rlseq-{rlseq.__version__}.dist-info"
    assert f"{info}/licenses/LICENSE" in inside
    text = zipfile.ZipFile(wheel).read(f"{info}/METADATA").decode()
    metadata = Parser().parsestr(text)
    assert metadata["Version"] == PROJECT["project"]["version"] == rlseq.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    extras = set(metadata.get_all("Provides-Extra"))
    assert extras == {
        "test", "dev", "tensorboard", "wandb", "mlflow", "trackio", "parity", "video", "minari",
        "hub", "arcade", "brax", "craftax", "jumanji", "navix", "pgx",
        "playground", "xminigrid",
        "joblib", "submitit", "ray", "optuna",
    }  # fmt: skip


def test_it_imports_from_anywhere(run, unpacked):
    names = ["rlseq", *FOLDERS]
    files = run(f"import importlib as i\nfor n in {names}: print(i.import_module(n).__file__)")
    assert all(Path(file).is_relative_to(unpacked) for file in files.split())


@pytest.mark.parametrize("name", TOP_NAMES)
def test_it_gives_nobody_a_module_of_that_name(run, unpacked, name):
    # Another distribution may have one; ours, unpacked or in the checkout, may not.
    places = [Path(place) for place in run(FIND.format(name)).split("\n") if place]
    assert not [p for p in places if p.is_relative_to(ROOT) or p.is_relative_to(unpacked)]


def test_every_configuration_composes_from_it(run):
    choices = run(COMPOSE).split()
    folder = ROOT / "configs"
    expected = [f"{f.parent.name}={f.stem}" for f in folder.glob("*/*.yaml")]
    assert sorted(choices) == sorted(expected) and "experiment=debug" in choices


def test_the_command_line_runs_from_it(run):
    listed = run("from rlseq.cli import main\nraise SystemExit(main(['list', 'cores']))")
    expected = sorted([*rlseq.core_names(), "stack"])
    assert [line.split()[0] for line in listed.splitlines()] == expected
