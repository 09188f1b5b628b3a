"""The package's files in the folders they lie in, and what they import."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PROJECT["tool"]["setuptools"]
LINKED = ("agents", "configs", "envs", "world_models")  # rlseq/NAME links to the folder ../NAME
FOLDERS = {"rlseq": "rlseq", **{f"rlseq.{name}": name for name in LINKED}}  # package -> folder
TOP_NAMES = (*LINKED, "tests")


class Import(NamedTuple):
    """One name of ours that a module asks for."""

    importer: str  # dotted module
    imported: str  # dotted module, or a module and an attribute of it
    line: int


def packages_on_disk() -> set[str]:
    """Every folder with Python files of the package, as a dotted name."""
    return {module if is_package else module.rpartition(".")[0] for module, is_package in _found()}


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module."""
    return {_dotted(package, file): file for package, file in _files()}


def our_imports() -> list[Import]:
    """Every import of rlseq within rlseq, inside functions too, type-only ones left out."""
    return [found for name, path in modules().items() for found in _imports(name, path)]


def all_imports(path: Path) -> list[str]:
    """Dotted names of all that a file imports."""
    return [name for node in _statements(_parse(path)) for name in _names(node)]


def python(script: str, *options: str, cwd: Path, env: dict[str, str]) -> str:
    """The output of a script in a process of its own; it must succeed."""
    command = [sys.executable, *options, "-c", script]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _files() -> Iterator[tuple[str, Path]]:
    for package, folder in FOLDERS.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            if package != "rlseq" or file.relative_to(ROOT / folder).parts[0] not in LINKED:
                yield package, file  # rglob follows links before Python 3.13


def _found() -> Iterator[tuple[str, bool]]:
    for package, file in _files():
        yield _dotted(package, file), file.name == "__init__.py"


def _dotted(package: str, file: Path) -> str:
    inside = file.relative_to(ROOT / FOLDERS[package]).with_suffix("").parts
    return ".".join([package, *(part for part in inside if part != "__init__")])


def _imports(name: str, path: Path) -> Iterator[Import]:
    tree = _parse(path)
    for node in _statements(tree):
        for imported in _names(node):
            if imported.partition(".")[0] == "rlseq" and imported != "rlseq":
                yield Import(name, imported, node.lineno)
    for node in ast.walk(tree):  # `import rlseq` is charged with what it takes from the face
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "rlseq":
            yield Import(name, f"rlseq.{node.attr}", node.lineno)


def _statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from _statements(node)


def _names(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert not node.level, f"line {node.lineno}: imports are absolute"
    return [f"{node.module}.{alias.name}" for alias in node.names]


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
