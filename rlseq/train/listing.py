"""Names for the command line with a line about each; nothing heavy is imported but plug-ins."""

import importlib.resources
from collections.abc import Sequence

from rlseq import plugins, registry
from rlseq.docstrings import first_sentence
from rlseq.errors import unknown_name

LISTS = ("cores", "envs", "experiments", "agents", "world_models", "loggers")


def listing(what: str, modules: Sequence[str] = ()) -> list[tuple[str, str]]:
    """(name, short description) of every entry, and of what fits in plug-in modules.

    Raises InputError for an unknown list and a plug-in that cannot be imported.
    """
    if what not in LISTS:
        raise unknown_name("list", what, LISTS)
    if what == "experiments":
        return _experiments()
    kind = what.removesuffix("s")
    own = [row for module in modules for row in _of_module(kind, plugins.allow(module))]
    if what == "envs":
        return _envs() + own
    table = {name: registry.target(kind, name) for name in registry.names(kind)}
    if what == "cores":  # a row of the others rather than one more of them
        table["stack"] = "rlseq.cores.stack:Stack"
    return [(name, _about(kind, name, table[name])) for name in sorted(table)] + own


def _about(kind: str, name: str, target: str) -> str:
    """What its module says of itself, which is not imported; of a plug-in, where it comes from.

    Loggers share a module that is quick to import, so their classes speak for themselves.
    """
    if kind == "logger" and name not in registry.of_plugins(kind):
        return (registry.load(kind, name).__doc__ or "").split("\n")[0].rstrip(".")
    about = first_sentence(target.rpartition(":")[0])
    return f"{about} (plug-in {target})" if name in registry.of_plugins(kind) else about


def _of_module(kind: str, module: str) -> list[tuple[str, str]]:
    """The classes of a plug-in that can be named "module:Class"; it is imported."""
    own = plugins.classes(plugins.load(module))
    if kind == "env":
        from rlseq.envs.family import ModuleFamily

        names = ModuleFamily(module, plugins.load(module)).ids()
    elif kind == "core":
        from rlseq.cores.layer import core_faults

        names = [name for name, found in own.items() if not core_faults(found)]
    else:
        protocol = _protocol(kind)
        names = [name for name, found in own.items() if not plugins.lacking(found, protocol)]
    lines = [(own[name].__doc__ or "").strip().split("\n")[0].rstrip(".") for name in names]
    return [(f"{module}:{name}", line) for name, line in zip(names, lines, strict=True)]


def _protocol(kind: str) -> type:
    """What classes of a kind must have."""
    from rlseq.train.logging import Logger
    from rlseq.types import AgentClass
    from rlseq.world_models.types import WorldModelClass

    return {"agent": AgentClass, "world_model": WorldModelClass, "logger": Logger}[kind]


def _envs() -> list[tuple[str, str]]:
    """Spaces, length and rewards, then what the family says about each; last come families whose
    package is missing."""
    from rlseq.envs import catalogue, env_ids, family_of
    from rlseq.envs.family import lacks

    known = catalogue.lines()
    listed = []
    for env_id in env_ids():
        about = family_of(env_id).about(env_id.partition(":")[2])
        listed.append((env_id, f"{known[env_id]}; {about}" if env_id in known else about))
    return listed + [
        (f"{name}:", f"not installed, {len(family_of(f'{name}:').ids())} more: {extra.command()}")
        for name in registry.names("env")
        if (extra := lacks(name)) is not None
    ]


def _experiments() -> list[tuple[str, str]]:
    """The second line of an experiment's YAML says what it is; the first sets its package."""
    folder = importlib.resources.files("rlseq.configs") / "experiment"
    found = []
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".yaml"):
            about = file.read_text(encoding="utf-8").split("\n")[1].removeprefix("# ")
            found.append((file.name.removesuffix(".yaml"), about))
    return found
