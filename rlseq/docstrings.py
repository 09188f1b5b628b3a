"""Docstrings read from source files: importing a module could be slow or fail."""

import ast
import functools
import importlib.util
import re
from importlib.machinery import PathFinder
from pathlib import Path


@functools.cache
def first_sentence(module: str) -> str:
    """The first sentence of the docstring of a module or file, "" without one; none is imported."""
    try:
        origin = module if module.endswith(".py") else _origin(module)
        source = Path(origin).read_text(encoding="utf-8") if origin else ""
        text = ast.get_docstring(ast.parse(source)) or ""
    except (OSError, SyntaxError, ValueError):  # of plug-ins, which may be anything
        return ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<!et al)\. (?=[A-Z])", paragraph)[0].rstrip(".")


def _origin(module: str) -> str | None:
    """The file of a module. Python's own finder imports the package of what it looks for: that is
    done of ours alone."""
    parts = module.split(".")
    known = 2 if parts[0] == "rlseq" else 1
    spec = importlib.util.find_spec(".".join(parts[:known]))
    for end in range(known + 1, len(parts) + 1):
        path = spec.submodule_search_locations if spec else None
        spec = PathFinder.find_spec(".".join(parts[:end]), path)
    return spec.origin if spec else None
