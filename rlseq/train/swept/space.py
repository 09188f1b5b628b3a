"""`sweep.vmap={agent.lr: [1e-4, 3e-4]}`: which hyper-parameters a program holds side by side."""

import copy
import itertools
from typing import Annotated, Any, NamedTuple

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlseq import config as configuration
from rlseq import fields
from rlseq.agents import agent_config
from rlseq.config import Config
from rlseq.errors import InputError, check_names, shown
from rlseq.fields import Range
from rlseq.schema import Chunks

KEY, PBT_KEY = "sweep.vmap", "sweep.pbt"
_GROUP = "agent."
_MOST = 4096  # settings x seeds, as seeds alone
_FORMS = {KEY: "{agent.lr: [1e-4, 3e-4, 1e-3]}", PBT_KEY: "{every: 10}"}
_FORM = f"{KEY} reads like '{_FORMS[KEY]}'"

Values = dict[str, float]  # "lr" -> 1e-4: of one setting


class Pbt(NamedTuple):
    """`sweep.pbt={every: 10}`. Sources: [J] Jaderberg et al. 1711.09846, appendix A; [O] ours."""

    every: Chunks = 10  # [O] chunks between two rounds
    share: Annotated[float, Range(0, 0.5, above=True)] = 0.2  # [J] worst and best, at least one
    factor: Annotated[float, Range(1, 100, above=True)] = 1.2  # [O] times or through; [J] 1.2, 0.8


class Sweep(NamedTuple):
    """Every combination of the values, and the configuration without them."""

    config: Config
    settings: list[Values]
    pbt: Pbt | None = None  # None: settings stay what they are

    @property
    def seeds(self) -> range:
        """Of each setting."""
        return range(self.config.seed, self.config.seed + self.config.seeds)

    def member(self, values: Values) -> Config:
        """The configuration of one setting, as a run of its own; the mesh is of all together."""
        own = copy.deepcopy(self.config)
        own.agent |= values
        own.run.mesh = None
        return own


def has_sweep(words: list[str]) -> bool:
    """Whether the words of a command line hold a sweep inside one program."""
    return any(word.partition("=")[0] in _FORMS for word in words)


def refuse(words: list[str]) -> None:
    """Raise InputError where a sweep of several programs has one inside."""
    if has_sweep(words):
        raise InputError(f"{KEY} is a sweep inside one program, -m one of several: choose one")


def parse(words: list[str]) -> Sweep:
    """The sweep of a command line.

    Raises InputError as `config.compose`, and for a value that is no mapping of lists, a key that
    is no real-valued hyper-parameter of the agent, and values that it does not take.
    """
    mine = {word.partition("=")[0]: word.partition("=")[2] for word in words if has_sweep([word])}
    if KEY not in mine:
        raise InputError(f"{PBT_KEY} changes the settings of {KEY}, which is missing: {_FORM}")
    config = configuration.compose([word for word in words if not has_sweep([word])])
    if config.run.dir is not None:
        raise InputError(f"run.dir is one folder, and {KEY} makes several: name run.root")
    if config.run.distributed is not None:
        raise InputError(f"run.distributed joins processes for one run, and {KEY} makes several")
    if config.run.time_parts:
        raise InputError(f"run.time_parts times one run, and {KEY} trains several in one program")
    raw = _read(PBT_KEY, mine[PBT_KEY]) if PBT_KEY in mine else None
    return of(config, _read(KEY, mine[KEY]), raw)


def of(config: Config, lists: dict[str, Any], pbt: dict[str, Any] | None = None) -> Sweep:
    """The sweep of `{"agent.lr": [1e-4, 3e-4]}`. Raises InputError as `parse`."""
    population = None if pbt is None else _pbt(pbt)
    swept = {_name(config, key): _values(config, key, value) for key, value in lists.items()}
    settings = [
        dict(zip(swept, combination, strict=True))
        for combination in itertools.product(*swept.values())
    ]
    if len(settings) * config.seeds > _MOST:
        raise InputError(
            f"{KEY} makes {len(settings)} settings of {config.seeds} seeds: at most {_MOST} in all"
        )
    if population is not None and len(settings) < 2:
        raise InputError(f"{PBT_KEY} needs several settings, and {KEY} has one")
    return Sweep(config, settings, population)


def label(values: Values) -> str:
    """A setting in the name of a folder: agent.lr=0.0001."""
    return "-".join(f"{_GROUP}{name}={value!r}" for name, value in values.items())


def lists_of(settings: list[Values]) -> dict[str, list[float]]:
    """What `of` makes the settings from."""
    return {
        f"{_GROUP}{name}": list(dict.fromkeys(values[name] for values in settings))
        for name in settings[0]
    }


def _read(key: str, text: str) -> dict[str, Any]:
    form = f"{key} reads like '{_FORMS[key]}'"
    try:
        found = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
        raise InputError(f"{form}, got {shown(text)}") from error
    if not isinstance(found, dict) or not found or None in found.values():
        raise InputError(f"{form}, got {shown(text)}")
    return {str(key): value for key, value in found.items()}


def _name(config: Config, key: str) -> str:
    """The agent's name of a swept key."""
    if not key.startswith(_GROUP):
        raise InputError(
            f"{KEY} varies hyper-parameters of the agent, which change no shape, got {shown(key)}: "
            "sweep it with `rlseq train -m`, one program for each value"
        )
    name = key.removeprefix(_GROUP)
    declared = fields.of(agent_config(config.agent["name"]))
    check_names(f"hyper-parameter of agent {config.agent['name']!r}:", [name], declared)
    if fields.parse(declared[name]).base is not float:
        raise InputError(
            f"{KEY} varies real numbers, and {key} is none: it shapes the program. Sweep it with "
            "`rlseq train -m`, one program for each value"
        )
    return name


def _values(config: Config, key: str, values: Any) -> list[float]:
    if not isinstance(values, list) or not values:
        raise InputError(f"{_FORM}; {key} has {shown(values)}")
    declared = fields.of(agent_config(config.agent["name"]))[_name(config, key)]
    checked = [fields.check(key, declared, value) for value in values]
    if None in checked or len(set(checked)) < len(checked):
        raise InputError(f"{KEY}: {key} needs different numbers, got {shown(values)}")
    return checked


def _pbt(raw: dict[str, Any]) -> Pbt:
    declared = fields.of(Pbt)
    check_names(f"key of {PBT_KEY}:", raw, declared)
    return Pbt(**fields.check_all(declared, raw, f"{PBT_KEY}."))
