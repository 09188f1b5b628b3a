"""Names of the compared methods: core, agent and the settings in which runs of a game differ."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rlseq import plugins
from rlseq.config import Config, flat

_NOT_THE_METHOD = ("env.id", "env.preset", "seed", "seeds", "run.")


def method_names(configs: Sequence[Config]) -> list[str]:
    """One name a run: those of one name on one environment differ in seeds and folders only."""
    settings = [_settings(config) for config in configs]
    named = [(config.core["name"], config.agent["name"]) for config in configs]
    bases = [f"{plugins.bare(core)} {plugins.bare(agent)}" for core, agent in named]
    games: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for config, base, own in zip(configs, bases, settings, strict=True):
        games[base, config.env.id].append(own)
    telling: dict[str, list[str]] = defaultdict(list)
    for (base, _), group in games.items():
        telling[base] += [key for key in _differing(group) if key not in telling[base]]
    return [
        ", ".join([base, *_named(telling[base], own)])
        for base, own in zip(bases, settings, strict=True)
    ]


def together(names: Sequence[str]) -> str:
    """Several methods in one phrase."""
    unique = list(dict.fromkeys(names))
    return " and ".join(unique) if len(unique) < 4 else f"{len(unique)} methods"


def tuned_settings(configs: Sequence[Config]) -> list[str]:
    """Keys in which runs differ between games though not within any of them."""
    names = method_names(configs)
    found: list[str] = []
    for name in dict.fromkeys(names):
        own = [_settings(c) for c, method in zip(configs, names, strict=True) if method == name]
        found += [key for key in _differing(own) if key not in found]
    return found


def _named(keys: Sequence[str], own: dict[str, Any]) -> list[str]:
    """Settings by the last part of their key where that is enough."""
    ends = [key.rpartition(".")[2] for key in keys]
    short = [end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)]
    return [f"{name}={own[key]}" for name, key in zip(short, keys, strict=True) if key in own]


def _differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for own in settings for key in own)
    return [key for key in keys if any(own.get(key) != settings[0].get(key) for own in settings)]


def _settings(config: Config) -> dict[str, Any]:
    return {
        key: value for key, value in flat(config).items() if not key.startswith(_NOT_THE_METHOD)
    }
