"""Docstrings read from source files: importing a module could be slow or fail."""

import ast
import functools
import importlib.util
import re
from importlib.machinery import PathFinder
from pathlib import Path


@functools.cache
def first_sentence(module: str) -> str:
    """The first sentence of a module's docstring, "" without one; the module is not imported."""
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
