"""Code of the user's own, by module or file: imported only where somebody asked for it by name.

A plug-in is "my_module:Mine" or "path/to/file.py:Mine". Run folders keep the names of what they
were made with, and may come from anybody: nothing is imported that `allow` was not called for.
"""

import importlib
import importlib.util
import os
import sys
import traceback
from importlib import metadata
from types import ModuleType
from typing import Any

from rlseq.errors import InputError, shown

GROUP = "rlseq"  # of entry points
_MACHINERY = ("<", __file__, importlib.__file__ or "<")  # not what an error came from
_allowed: set[str] = set()  # modules and absolute paths of files, as `canonical` writes them


def parts(name: str) -> tuple[str, str]:
    """(module or file, attribute) of "my_module:Mine". Raises InputError for another form."""
    module, colon, attribute = name.rpartition(":")
    if not colon or not module or not attribute.isidentifier():
        raise InputError(
            f"a plug-in reads 'my_module:Mine' or 'path/to/file.py:Mine', got {shown(name)}"
        )
    return module, attribute


def bare(name: str) -> str:
    """A name or id without the folders of a plug-in's file, for labels: "file.py:Mine"."""
    module, colon, rest = name.partition(":")
    return f"{os.path.basename(module) if is_file(module) else module}{colon}{rest}"


def is_file(module: str) -> bool:
    """Whether a module is given by a path."""
    return module.endswith(".py") or os.sep in module


def exists(module: str) -> bool:
    """Whether there is such a file or module; of a module in a package, the package. Imports
    nothing."""
    if is_file(module):
        return os.path.isfile(os.path.expanduser(module))
    first = module.partition(".")[0]
    if not all(part.isidentifier() for part in module.split(".")):
        return False
    return _origin(first) is not None or (first == module and os.path.isfile(f"{module}.py"))


def canonical(module: str) -> str:
    """What a configuration keeps of a module: the same in every folder.

    The absolute path of a file, and also of a module that is a file of the current folder; the
    dotted name of an installed one. Raises InputError for what is not there.
    """
    if not is_file(module):
        if not exists(module):
            raise InputError(f"there is no module {shown(module)}, nor {module}.py in this folder")
        beside = os.path.abspath(f"{module}.py")
        origin = _origin(module.partition(".")[0])
        here = os.path.isfile(beside) and (origin is None or _same(origin, beside))
        if not here:
            return module
        module = beside
    path = os.path.abspath(os.path.expanduser(module))
    if not os.path.isfile(path):
        raise InputError(f"there is no file {shown(module)}")
    if not path.endswith(".py") or not os.path.basename(path)[:-3].isidentifier():
        raise InputError(f"a plug-in's file is called as a module is, NAME.py, got {shown(module)}")
    if any(sign in path for sign in ":,\n"):
        raise InputError(f"the path of a plug-in has no ':' and no ',', got {shown(path)}")
    return path


def allow(module: str) -> str:
    """Let this process import a module or file, and what it is called in configurations.

    Raises InputError for one that is not there.
    """
    name = canonical(module)
    _allowed.add(name)
    if not is_file(module) and _origin(module.partition(".")[0]) is not None:
        _allowed.add(module)  # as a configuration calls it that was made in another folder
    return name


def allowed(module: str) -> bool:
    """Whether `allow` was called for a module, as configurations name it."""
    return module in _allowed


def file_called(name: str) -> str:
    """The allowed file that is called `name`, as a shared configuration names files: without their
    folders. The name itself where there is none, or more than one."""
    found = [one for one in _allowed if is_file(one) and os.path.basename(one) == name]
    return found[0] if len(found) == 1 else name


def load(module: str) -> ModuleType:
    """An allowed module, imported now.

    Raises InputError for one that is not allowed, and where its import fails.
    """
    if module not in _allowed:
        raise InputError(f"{module} is not imported without being asked for: --plugins {module}")
    return _imported(module)


def attribute(target: str) -> Any:
    """What "module:attribute" names; "module:" is the module itself. For targets of the registry.

    Raises InputError where a module that is not rlseq's cannot be imported or has no such name.
    """
    module, _, name = target.rpartition(":")
    if module.partition(".")[0] == "rlseq":
        return getattr(importlib.import_module(module), name)
    found = _imported(module)
    if name and not hasattr(found, name):
        names = [key for key, value in vars(found).items() if _own(found, value)]
        raise InputError(f"{module} has no {name!r}. It has: {', '.join(names) or 'nothing'}")
    return getattr(found, name) if name else found


def function(name: str) -> Any:
    """The function "my_module:name", allowed and imported. Raises InputError without one."""
    module, key = parts(name)
    found = attribute(f"{allow(module)}:{key}")
    if not callable(found):
        raise InputError(f"{name} is no function, it is {shown(found)}")
    return found


def classes(module: ModuleType) -> dict[str, type]:
    """Name -> class, of those that a module defines itself."""
    return {key: value for key, value in vars(module).items() if _own(module, value)}


def lacking(thing: object, protocol: type) -> list[str]:
    """The members of a protocol, without those of its bases, that a class or object has not."""
    asked = {*protocol.__annotations__, *(key for key in vars(protocol) if key[0] != "_")}
    return sorted(asked.difference(dir(thing)))


def check_members(what: str, thing: object, protocol: type) -> None:
    """Raise InputError for a `what`, such as "agent 'mine'", that lacks members of a protocol."""
    if missing := lacking(thing, protocol):
        where = f"{protocol.__module__}.{protocol.__name__}"
        raise InputError(f"{what} lacks {', '.join(missing)}: see {where}")


def entry_points() -> list[tuple[str, str, str, str]]:
    """(kind, name, target, package) of every entry point "kind.name = module:attribute"."""
    found = []
    for point in metadata.entry_points(group=GROUP):
        kind, _, name = point.name.partition(".")
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "a package"
        found.append((kind, name, point.value.replace(" ", ""), package))
    return sorted(found)


def _own(module: ModuleType, value: object) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__


def _imported(module: str) -> ModuleType:
    try:
        return _from_file(module) if is_file(module) else importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise InputError(
            f"{_described(error)}; so the plug-in {module} cannot be imported"
        ) from error


def _from_file(path: str) -> ModuleType:
    """A file as the module of its name, which its own `rlseq.register` may name as well."""
    name = os.path.basename(path)[:-3]
    origin = _origin(name)
    if origin is not None and not _same(origin, path):
        raise ImportError(f"{path} is called as {origin} is: rename it")
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.append(folder)  # its neighbours; last, so that they hide nothing
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _origin(name: str) -> str | None:
    """Where a module without dots in its name comes from, "" if not from a file; None without."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None) or ""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin or ""


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _described(error: BaseException) -> str:
    """An error as Python ends its traceback, in one line, and where it was raised."""
    first = str(error).strip().split("\n")[0]
    said = f"{type(error).__name__}: {first}" if first else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_MACHINERY)]
    if isinstance(error, SyntaxError) or not own:
        return said
    return f"{said} ({own[-1].filename}, line {own[-1].lineno})"
