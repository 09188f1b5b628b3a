"""The `rlseq train` command that makes a configuration, found by composing it."""

import dataclasses
import importlib.resources
import re
import shlex
from collections.abc import Iterator
from typing import Any

from rlseq import config as configuration
from rlseq import overrides, plugins
from rlseq.config import NO_MODEL, Config, RunConfig
from rlseq.cores import STACK
from rlseq.errors import InputError
from rlseq.schema import GROUPS

_PLAIN = re.compile(r"[A-Za-z_][\w.-]*")
_WORDS = ("null", "true", "false", "inf", "nan")  # that Hydra reads as something else than text
_QUICKSTART = "quickstart"


def train_command(config: Config) -> str | None:
    """The command with the fewest words, without folders, checkpoints and logs (`run.*`).

    Files are named without their folders. None where none composes the same configuration, as of
    runs with options that have gone since.
    """
    wanted = _bare(config)
    found = [words for experiment in _experiments(config) if (words := _words(wanted, experiment))]
    if not found:
        return None
    words = min(found, key=len)
    if config.init_from is not None:
        words.append(f"init_from={_named(config.init_from)}")
    return shlex.join(["rlseq", "train", *map(_without_folder, words)])


def portable(config: Config, seed_index: int = 0) -> Config:
    """The configuration of one seed of a run, without paths of this machine.

    Files keep their names. What a folder, checkpoints and logs of a run are is left out.
    """
    run = _lasting(config, [_named(module) for module in config.run.plugins])
    parts = {group: _portable(getattr(config, group)) for group in GROUPS}
    env = dataclasses.replace(config.env, **_portable(dataclasses.asdict(config.env)))
    return dataclasses.replace(
        config, env=env, run=run, **parts, init_from=None, seed=config.seed + seed_index, seeds=1
    )


def _portable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _portable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_portable(one) for one in value]
    return _named(value) if isinstance(value, str) else value


def _named(text: str) -> str:
    """A path without its folders, also in front of a plug-in's class; other text as it is."""
    bare = plugins.bare(text)
    return bare.rstrip("/").rpartition("/")[2] if bare.startswith("/") else bare


def _bare(config: Config) -> Config:
    """What the command has to make."""
    run = _lasting(config, config.run.plugins)
    return dataclasses.replace(config, run=run, init_from=None)


def _lasting(config: Config, modules: list[str]) -> RunConfig:
    """What of a run's settings says what was trained: chunks round its steps."""
    return RunConfig(plugins=modules, chunks=config.run.chunks)


def _experiments(config: Config) -> Iterator[str]:
    """Those that name the same agent, and the one of a bare `rlseq train`."""
    folder = importlib.resources.files("rlseq.configs") / "experiment"
    own = f"override /agent: {config.agent['name']}\n"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = file.name.removesuffix(".yaml")
        if name == _QUICKSTART or own in file.read_text(encoding="utf-8"):
            yield name


def _words(wanted: Config, experiment: str) -> list[str] | None:
    """What to write after `rlseq train` with an experiment below it; None where that cannot be."""
    words = [] if experiment == _QUICKSTART else [f"experiment={experiment}"]
    words += [f"{group}={getattr(wanted, group)['name']}" for group in ("core", "agent")]
    if wanted.core["name"] == STACK:  # which has no layers without being told
        words.append(f"core.layers={value_text(wanted.core['layers'])}")
    if wanted.world_model["name"] != NO_MODEL:
        words.append(f"world_model={wanted.world_model['name']}")
    if wanted.run.plugins:
        words.append(f"run.plugins=[{','.join(wanted.run.plugins)}]")
    try:
        base = configuration.flat(configuration.compose(words))
        for key, value in configuration.flat(wanted).items():
            word = f"{key}={value if key in overrides.PATHS else value_text(value)}"
            known = key in base and base[key] == value
            if not known and word not in words and not _written_elsewhere(key):
                words.append(word)
        made = configuration.compose(words)
    except InputError:
        return None
    return words if _bare(made) == wanted else None


def _written_elsewhere(key: str) -> bool:
    """Whether a key is a group's choice, a plug-in, or says nothing of what was trained."""
    names = [f"{group}.name" for group in GROUPS]
    return key in names or (key.startswith("run.") and key != "run.chunks")


def value_text(value: Any) -> str:
    """A value as Hydra reads it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(value_text, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{value_text(one)}' for key, one in value.items())}}}"
    if isinstance(value, str) and (not _PLAIN.fullmatch(value) or value.lower() in _WORDS):
        return _env_id(value) or overrides.quoted(value)
    return str(value)


def _env_id(text: str) -> str | None:
    """An id such as popgym:RepeatPreviousEasy, which needs no quotes; plug-ins must have none."""
    return text if re.fullmatch(r"[\w./-]+:[\w.-]+", text) else None


def _without_folder(word: str) -> str:
    key, _, value = word.partition("=")
    if value.startswith("["):
        return f"{key}=[{','.join(map(_named, value[1:-1].split(',')))}]" if "/" in value else word
    return f"{key}={_named(value)}"
