"""Plug-ins in configurations: imported where a command line names them, never for a run folder.

`core=my_module:Mine`, `agent=`, `world_model=` and `env.id=` name one thing each, `core.layers` and
`run.loggers` several; `run.plugins` modules that register names (`rlseq.register`). A configuration
holds absolute paths of files.
"""

import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any

from rlseq import overrides, plugins, registry
from rlseq.errors import InputError, shown, unknown_name
from rlseq.schema import GROUPS, hydra_name, options_of

LIST = "run.plugins"
LISTS = {"core.layers": "core", "run.loggers": "logger"}  # keys with several names -> their kind
_IN_LIST = re.compile(r"[^\[\],\s]+:[^\[\],\s]+")  # "my_module:Mine"
HYDRA = "'\"([{$\\"  # a value in quotes or escaped, a list, a function, an interpolation


def take(split: overrides.Words) -> overrides.Words:
    """Allow and import the plug-ins that a command line names; its words as Hydra takes them.

    Raises InputError for one that is not there, cannot be imported or is not what it should be.
    """
    if LIST in split.paths:
        split.paths[LIST] = [_imported(module) for module in _listed(split.paths[LIST])]
    return overrides.Words([_word(text) for text in split.hydra], split.paths)


def take_saved(raw: dict[str, Any], path: Path) -> None:
    """Import the plug-ins of a run's configuration, all of which must have been allowed.

    Those of a model are files without folders: an allowed file of the name is put in. Raises
    InputError that says which the run names and how they are allowed.
    """
    _put_in_folders(raw)
    check_saved(raw, str(path))
    for module in _saved_list(raw):
        plugins.load(module)
    for key, kind in LISTS.items():
        for name in _saved_names(raw, key):
            registry.take(kind, name)
    for group in GROUPS:
        name = _saved_name(raw, group)
        if ":" in name:
            options_of(group, registry.take(group, name))
    check_saved(raw, str(path))  # also the environment, which a plug-in may have registered
    if _foreign(_saved_id(raw)) and plugins.allowed(_saved_id(raw).partition(":")[0]):
        registry.take("env", _saved_id(raw))


def check_saved(raw: dict[str, Any], whose: str) -> None:
    """Raise InputError for plug-ins that nobody allowed in this process.

    A run folder may come from anybody: that a module was imported already is not enough, since
    what it names is called.
    """
    named = _named(raw)
    refused = {text: module for text, module in named.items() if not plugins.allowed(module)}
    if refused:
        modules = [*dict.fromkeys(refused.values())]
        raise InputError(
            f"{whose} names code that is not part of rlseq: {', '.join(refused)}. It is imported "
            f"only when you say so: if you trust it, add{_flags(modules)} to the command, or write "
            f"load_policy(..., plugins={modules}) in Python"
        )


def flags(raw: dict[str, Any]) -> str:
    """What a command needs after the folder of a run: " --plugins MODULE"; "" without plug-ins."""
    return _flags(modules(raw))


def modules(raw: dict[str, Any]) -> list[str]:
    """The modules and files of the user's own that a configuration names."""
    return [*dict.fromkeys(_named(raw).values())]


def _flags(modules: list[str]) -> str:
    return f" --plugins {','.join(map(shlex.quote, modules))}" if modules else ""


def _named(raw: dict[str, Any]) -> dict[str, str]:
    """How a configuration names each of its plug-ins -> the module or file."""
    listed = _saved_list(raw)
    named = {f"{LIST}: {module}": module for module in listed}
    for group in GROUPS:
        if ":" in (name := _saved_name(raw, group)):
            named[f"{group}={name}"] = name.rpartition(":")[0]
    for key in LISTS:
        named |= {f"{key}: {name}": name.rpartition(":")[0] for name in _saved_names(raw, key)}
    env_id = _saved_id(raw)
    if module := _module_of_gymnasium(env_id):
        named[f"env.id={env_id}"] = module
    module = env_id.partition(":")[0]
    # Else a family: an unknown one, or one that a module in the list will register.
    known = plugins.is_file(module) or plugins.exists(module)
    if known and _foreign(env_id):
        waiting = not all(plugins.allowed(one) for one in listed)
        if plugins.is_file(module) or not waiting:
            named[f"env.id={env_id}"] = module
    return named


def _word(text: str) -> str:
    """One word with its plug-ins taken: what Hydra calls them, or the id of an environment."""
    key, _, value = text.partition("=")
    if key in LISTS and "'" not in value and '"' not in value:
        taken = partial(_taken_entry, LISTS[key])
        return f"{key}={re.sub(_IN_LIST, taken, value)}"
    if key not in (*GROUPS, "env.id") or any(sign in value for sign in HYDRA):
        return text
    entries = [_quoted_id(one) if key == "env.id" else _entry(key, one) for one in value.split(",")]
    return f"{key}={','.join(entries)}"


def _taken_entry(kind: str, found: re.Match[str]) -> str:
    """A plug-in among the names of a list, as Hydra reads back what it is called."""
    return overrides.quoted(_taken(kind, found[0]))


def _taken(kind: str, name: str) -> str:
    """A plug-in as configurations call it, however often it was named in this process before."""
    module, attribute = plugins.parts(name)
    return registry.take(kind, f"{plugins.allow(module)}:{attribute}")


def _entry(group: str, name: str) -> str:
    """An entry of a group as Hydra knows it; what is no plug-in stays, right or wrong."""
    if ":" in name:
        name = _taken(group, name)
    if name not in registry.of_plugins(group):
        return name
    options_of(group, name)  # whether it is what it should be
    return hydra_name(name)


def _quoted_id(env_id: str) -> str:
    taken = env_id_of(env_id)
    return overrides.quoted(taken) if plugins.is_file(taken.partition(":")[0]) else taken


def env_id_of(env_id: str) -> str:
    """An id as configurations have it, its plug-in taken. Raises InputError for one without."""
    if module := _module_of_gymnasium(env_id):
        plugins.allow(module)
    if not _foreign(env_id):
        return env_id
    if not plugins.exists(prefix := env_id.partition(":")[0]) and not plugins.is_file(prefix):
        unknown = unknown_name("env", prefix, registry.names("env"))
        raise InputError(f"{unknown}; nor is there a module of this name")
    return _taken("env", env_id)


def _imported(module: str) -> str:
    name = plugins.allow(module)
    plugins.load(name)
    return name


def _listed(text: str) -> list[str]:
    """The modules of `[a,path/to/b.py]`."""
    if text[:1] != "[" or text[-1:] != "]":
        raise InputError(f"{LIST} must be a list like [my_module,path/file.py], got {shown(text)}")
    return [one.strip() for one in text[1:-1].split(",") if one.strip()]


def _foreign(env_id: str) -> bool:
    """Whether an id is "my_module:Name" and not of a registered family."""
    prefix, _, name = env_id.partition(":")
    family = prefix in registry.names("env") and registry.target("env", prefix) != f"{prefix}:"
    return name.isidentifier() and not family


def _module_of_gymnasium(env_id: str) -> str:
    """What gymnasium imports for "gymnasium:my_module:Name-v0"; "" for other ids."""
    family, _, name = env_id.partition(":")
    return name.rpartition(":")[0] if family == "gymnasium" else ""


def _put_in_folders(raw: dict[str, Any]) -> None:
    """The whole paths of allowed files in the place of their bare names, as models have them."""
    if _saved_list(raw):
        listed = raw["run"]["plugins"]
        raw["run"]["plugins"] = [
            plugins.file_called(one) if isinstance(one, str) else one for one in listed
        ]
    for group in GROUPS:
        module, colon, name = _saved_name(raw, group).rpartition(":")
        if colon:
            raw[group]["name"] = f"{plugins.file_called(module)}:{name}"
    module, colon, name = _saved_id(raw).partition(":")
    if colon:
        raw["env"]["id"] = f"{plugins.file_called(module)}:{name}"


def _saved_list(raw: dict[str, Any]) -> list[str]:
    part = raw.get("run")
    listed = part.get("plugins") if isinstance(part, dict) else None
    return [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []


def _saved_names(raw: dict[str, Any], key: str) -> list[str]:
    """The plug-ins in one of `LISTS`."""
    part, _, name = key.partition(".")
    listed = raw[part].get(name) if isinstance(raw.get(part), dict) else None
    names = listed if isinstance(listed, list) else []
    return [one for one in names if isinstance(one, str) and ":" in one]


def _saved_name(raw: dict[str, Any], group: str) -> str:
    part = raw.get(group)
    name = part.get("name") if isinstance(part, dict) else None
    return name if isinstance(name, str) else ""


def _saved_id(raw: dict[str, Any]) -> str:
    part = raw.get("env")
    env_id = part.get("id") if isinstance(part, dict) else None
    return env_id if isinstance(env_id, str) else ""
