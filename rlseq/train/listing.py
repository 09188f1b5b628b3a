"""Names for the command line with a line about each; nothing heavy is imported."""

import ast
import functools
import importlib.resources
import importlib.util
import re
from importlib.machinery import PathFinder
from pathlib import Path

from rlseq import registry
from rlseq.errors import unknown_name

LISTS = ("cores", "envs", "experiments", "agents", "world_models")


def listing(what: str) -> list[tuple[str, str]]:
    """(name, short description) of every entry. Raises InputError for an unknown what."""
    if what == "experiments":
        return _experiments()
    if what == "envs":
        return _envs()
    if what not in LISTS:
        raise unknown_name("list", what, LISTS)
    table = dict(registry.TABLES[what.removesuffix("s")])
    if what == "cores":  # a row of the others rather than one more of them
        table["stack"] = "rlseq.cores.stack:Stack"
    return [(name, _first_sentence(table[name].split(":")[0])) for name in sorted(table)]


def _envs() -> list[tuple[str, str]]:
    """Spaces, length and rewards, then the source: from the docstring of its module."""
    from rlseq.envs import catalogue, env_ids

    known = catalogue.lines()
    about = functools.cache(_first_sentence)
    listed = []
    for name in env_ids():
        family, _, own = name.partition(":")
        # Of the environment itself where its family has something to say on each.
        says = getattr(registry.load("env", family), "about", None)
        text = says(own) if says else about(_module(name))
        listed.append((name, "; ".join([*([known[name]] if name in known else []), text])))
    return listed


def _module(env_id: str) -> str:
    """Where an environment is written, or its family's module if that keeps no table."""
    family, _, name = env_id.partition(":")
    table = getattr(registry.load("env", family), "table", {})
    target = table[name].target if name in table else registry.TABLES["env"][family]
    return target.split(":")[0]


def _experiments() -> list[tuple[str, str]]:
    """The second line of an experiment's YAML says what it is; the first sets its package."""
    folder = importlib.resources.files("rlseq.configs") / "experiment"
    found = []
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".yaml"):
            about = file.read_text(encoding="utf-8").split("\n")[1].removeprefix("# ")
            found.append((file.name.removesuffix(".yaml"), about))
    return found


def _first_sentence(module: str) -> str:
    """Of a module's docstring, read from its source: importing it could be slow or fail."""
    parts = module.split(".")
    spec = importlib.util.find_spec(".".join(parts[:2]))
    for end in range(3, len(parts) + 1):
        path = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(".".join(parts[:end]), path)
    if spec is None or spec.origin is None:
        return ""
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<!et al)\. (?=[A-Z])", paragraph)[0].rstrip(".")
