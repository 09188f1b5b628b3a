"""The YAML of a run folder, read as untrusted input: plain values only; an error is one line."""

import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlseq.errors import InputError


def read(path: Path) -> dict[str, Any]:
    """What a file holds: nested dicts, lists and plain values.

    Raises InputError with file and line for a file that cannot be read, one that is no YAML or no
    mapping, a repeated key, and tags that would make Python objects.
    """
    try:
        loaded = OmegaConf.load(path)  # refuses repeated keys, and all tags but those of YAML
        found = OmegaConf.to_container(loaded, resolve=False)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        raise InputError(f"{path} is no YAML: at byte {error.position}, {error.reason}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8: see byte {error.start}") from None
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise InputError(f"{path} is no YAML: {_first_line(error)}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} is no configuration of a run: it holds no keys")
    _refuse_interpolation(path, found)
    return {str(key): value for key, value in found.items()}


def name_of(raw: dict[str, Any], group: str) -> str:
    """The name of the chosen entry of `group`. Raises InputError without one."""
    part = raw[group]
    name = part.get("name") if isinstance(part, dict) else None
    if not isinstance(name, str):
        raise InputError(f"{group} holds no name")
    return name


def _refuse_interpolation(path: Path, node: Any) -> None:
    """A run holds values; `${...}` would read the environment of whoever opens it. Behind an odd
    number of backslashes it is text, as in the name of a folder."""
    if isinstance(node, str) and re.search(r"(?<!\\)(\\\\)*\$\{", node):
        raise InputError(f"{path} holds {node!r}: values only, no interpolations")
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _refuse_interpolation(path, part)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0]
