"""The `key=value` words of a command line, before Hydra composes them."""

import os
import re
from typing import Any, NamedTuple

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override

from rlseq.errors import InputError, shown, unknown_name

SECTIONS = ("env", "run")
EXPERIMENT = "quickstart"  # of configs/config.yaml
PLUGIN = "plugin-"  # begins what Hydra calls a plug-in: `rlseq.schema.hydra_name`
OPEN_KEY = "env.options."  # what may follow depends on the environment, which checks it itself
PATHS = ("run.dir", "run.root", "agent.data", "init_from")  # taken as they are typed


class Words(NamedTuple):
    """Overrides for Hydra, and paths and `run.plugins`, which Hydra does not parse."""

    hydra: list[str]
    paths: dict[str, Any]


def split(overrides: list[str]) -> Words:
    """The words of a command line. Keys may be added below `env.options` only, and a value with
    an equals sign (`run.mesh=env=4`) is quoted.

    Raises InputError for `+key` and `~key` and for a path that no file system has.
    """
    words = Words([], {})
    for text in overrides:
        if text.startswith(("+", "~")):
            raise InputError(f"keys are never added nor removed: write key=value, not {text}")
        key, equals, value = text.partition("=")
        if equals and key == "run.plugins":
            words.paths[key] = value
            continue
        if equals and key in PATHS:
            words.paths[key] = None if value == "null" else place(key, value)
            continue
        if "=" in value and value[0] not in "'\"[{=":
            text = f"{key}='{value}'"
        words.hydra.append(f"++{text}" if f"{key}.".startswith(OPEN_KEY) else text)
    return words


def experiment(words: list[str]) -> str:
    """The experiment that the words of a command line name, or the one without."""
    named = [word.partition("=")[2] for word in words if word.startswith("experiment=")]
    return named[-1] if named else EXPERIMENT


def text_of(key: str, words: list[str]) -> str | None:
    """The last value of a key, a text, before anything is composed; None where it has none."""
    texts = [value for name, _, value in (word.partition("=") for word in words) if name == key]
    return None if not texts or texts[-1] == "null" else texts[-1].strip("'\"")


def place(key: str, value: Any) -> str:
    """A path as it was typed, but for `~/`, the home folder, which shells leave alone in
    `key=~/x`. Raises InputError for one that cannot be."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"{key} must be a path, got {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{key} must be a path in UTF-8, got {shown(value)}") from None
    at_home = value == "~" or value.startswith("~/")
    expanded = os.path.expanduser(value) if at_home else value
    if at_home and expanded == value:
        raise InputError(f"{key}: there is no home folder for {shown(value)}")
    return expanded


def quoted(text: str) -> str:
    """Any text as a value that Hydra reads back as it is."""
    # Backslashes count where a quote or an interpolation follows, and at the end.
    text = re.sub(r"(\\*)('|\$\{)", lambda found: 2 * found[1] + "\\" + found[2], text)
    text = re.sub(r"(\\+)\Z", lambda found: 2 * found[1], text)
    return f"'{text}'"


def parse(words: list[str]) -> list[Override]:
    """The words as Hydra reads them. Raises InputError that names the first it cannot read."""
    parser, parsed = OverridesParser.create(), []
    for word in words:
        try:
            parsed.append(parser.parse_override(word))
        except Exception as error:
            message = " ".join(str(error).split("\n")[0].split())
            hint = "a value with special characters stands in quotes: key=\"'...'\""
            text = word.removeprefix("++")
            raise InputError(f"cannot read {shown(text)}: {message}; {hint}") from error
    return parsed


def check_groups(parsed: list[Override]) -> None:
    """Raise InputError for a group's value that is none of its options, say a path; called where
    Hydra is initialised."""
    loader = GlobalHydra.instance().config_loader()
    for one in parsed:
        key, value = one.key_or_group, one.value()
        options = [] if "." in key else loader.get_group_options(key)
        if not options:
            if key in SECTIONS and not isinstance(value, dict):
                raise InputError(f"{one.input_line}: {key} has keys of its own: {key}.KEY=VALUE")
            continue
        if one.package is not None:
            raise InputError(f"{one.input_line}: write {key}=NAME")
        values = [value]
        if isinstance(value, ChoiceSweep):
            values = list(value.list)
        elif isinstance(value, list) and key == "experiment":
            values = value
        for name in values:
            if name not in options:
                ours = [option for option in options if not option.startswith(PLUGIN)]
                raise unknown_name(key, name, ours)
