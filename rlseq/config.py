"""What a run is made of: typed schemas, composed by Hydra from `configs/` and dotted overrides.

The groups `core`, `agent` and `world_model` come from the registry: a core's own options are its
schema, so a new core is usable here the moment it is registered. YAML files hold presets and
experiments only; the presets of world models come with them.
"""

import dataclasses
import typing
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlseq import config_yaml, registry
from rlseq.config_errors import OPEN_KEY, explain, first_line
from rlseq.errors import InputError

CONFIG_MODULE = "rlseq.configs"
GROUPS = ("core", "agent", "world_model")
NO_MODEL = "none"  # world_model of agents that learn from what happens
_LEAVES = (bool, int, float, str)


@dataclasses.dataclass
class EnvConfig:
    """Which environment, and how many of it side by side."""

    id: str = MISSING
    num_envs: int = 64
    preset: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class RunConfig:
    """Where a run lies and how it is kept; nothing here changes what is learned."""

    dir: str | None = None  # this very folder, which must not exist; null: a new one below root
    root: str = "runs"
    mesh: str | None = None  # devices by axis: "env=4" or "seed=2,env=2"
    chunks: int = 100  # about how many log lines; between two of them the host is asked nothing
    checkpoint_every: int = 10  # chunks
    keep: int = 3  # newest checkpoints kept, beside the best
    eval_episodes: int = 128  # per seed, after training; 0: none
    loggers: list[str] = dataclasses.field(default_factory=list)
    time_parts: bool = False  # time acting, world model and agent before training, and log them
    quiet: bool = False


@dataclasses.dataclass
class Config:
    """A whole run. `core`, `agent` and `world_model` are dicts: `name` and its own options."""

    env: EnvConfig = dataclasses.field(default_factory=EnvConfig)
    core: Any = MISSING
    agent: Any = MISSING
    world_model: Any = dataclasses.field(default_factory=lambda: {"name": NO_MODEL})
    run: RunConfig = dataclasses.field(default_factory=RunConfig)
    seed: int = 0  # seed i of `seeds` is seed + i
    seeds: int = 1  # trained side by side in one program
    total_steps: int | float = MISSING  # environment steps per seed; 1e6 reads as an integer


def compose(overrides: list[str]) -> Config:
    """The configuration that `configs/config.yaml` and the overrides make.

    Raises InputError for an unknown key or group option (with the nearest match), a value of the
    wrong type and sizes that no run can have.
    """
    register_groups()
    overrides = opened(overrides)
    with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
        try:
            composed = hydra_compose("config", overrides=overrides)
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise explain(overrides, error) from error
    return finish(composed)


def opened(overrides: list[str]) -> list[str]:
    """Overrides as Hydra takes them: keys may be added below `env.options` only, and a value
    with an equals sign (`run.mesh=env=4`) is quoted.

    Raises InputError for `+key` and `~key`.
    """
    taken = []
    for text in overrides:
        if text.startswith(("+", "~")):
            raise InputError(f"keys are never added nor removed: write key=value, not {text}")
        key, _, value = text.partition("=")
        if "=" in value and value[0] not in "'\"[{=":
            text = f"{key}='{value}'"
        taken.append(f"++{text}" if text.startswith(OPEN_KEY) else text)
    return taken


def finish(composed: DictConfig) -> Config:
    """A composed Hydra configuration as a checked Config. Raises InputError."""
    try:
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), composed))
    except OmegaConfBaseException as error:
        raise InputError(first_line(error)) from error
    assert isinstance(config, Config)
    for kind in GROUPS:
        setattr(config, kind, _as_dict(getattr(config, kind)))
    return _checked(config)


def load(path: Path) -> Config:
    """The configuration a run folder holds. Raises InputError if it does not fit the schemas."""
    raw = config_yaml.read(path)
    try:
        schema = OmegaConf.structured(Config)
        for kind in GROUPS:
            if kind in raw:  # runs of before there were world models have none
                name = config_yaml.name_of(raw, kind)
                schema[kind] = OmegaConf.structured(_schema(kind, name))
        return finish(typing.cast(DictConfig, OmegaConf.merge(schema, raw)))
    except (OmegaConfBaseException, TypeError, ValueError, OverflowError) as error:
        key = getattr(error, "full_key", None)
        where = f"{key}: " if key else ""
        message = f"{path} is no configuration of a run: {where}{first_line(error)}"
        raise InputError(message) from error


def to_yaml(config: Config) -> str:
    """The merged configuration as YAML; `load` reads it back."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def flat(config: Config) -> dict[str, Any]:
    """Dotted key -> value, as the command line names them."""
    return _flat(dataclasses.asdict(config), "")


def register_groups() -> None:
    """Tell Hydra the schemas of every registered core, agent and world model."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    for kind in GROUPS:
        for name in _group_options(kind):
            store.store(group=kind, name=name, node=_schema(kind, name))
    for model in registry.names("world_model"):
        for preset, values in registry.load("world_model", model).presets.items():
            schema = _schema("world_model", model, values)
            store.store(group="world_model", name=preset, node=schema)


def _group_options(kind: str) -> list[str]:
    """What a group takes: the registered names, "stack" for mixed cores, "none" for no model."""
    from rlseq.cores import STACK

    return [*registry.names(kind), *{"core": [STACK], "world_model": [NO_MODEL]}.get(kind, [])]


def _schema(kind: str, name: str, preset: dict[str, Any] | None = None) -> type:
    """A dataclass of an entry's options, with its name as the first field."""
    fields: list[Any] = [("name", str, dataclasses.field(default=name))]
    for key, (kind_of_value, default) in _options(kind, name).items():
        default = (preset or {}).get(key, default)
        value = list(default) if isinstance(default, tuple) else default
        factory = dataclasses.field(default_factory=lambda value=value: value)
        fields.append((key, _field_type(kind_of_value), factory))
    return dataclasses.make_dataclass(f"{name}_{kind}", fields)


def _options(kind: str, name: str) -> dict[str, tuple[Any, Any]]:
    # Imported here: `rlseq.config` itself must not pull in flax and every agent.
    if kind == "core":
        from rlseq.cores import core_options

        return core_options(name)
    if name == NO_MODEL:
        return {}
    from rlseq.agents import agent_config
    from rlseq.world_models import world_model_config

    schema = agent_config(name) if kind == "agent" else world_model_config(name)
    types = typing.get_type_hints(schema)
    return {f.name: (types[f.name], f.default) for f in dataclasses.fields(schema)}


def _field_type(annotation: Any) -> Any:
    """The annotation where OmegaConf can check it; its owner checks the others."""
    if typing.get_origin(annotation) in (list, tuple):
        return Any  # a number of layers, as experiments give it, may stand where names will
    members = typing.get_args(annotation) or (annotation,)
    checkable = all(part in (*_LEAVES, type(None)) for part in members)
    return annotation if checkable else Any


def _flat(node: dict[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in node.items():
        nested = isinstance(value, dict)
        found |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def _as_dict(part: Any) -> dict[str, Any]:
    return dict(part) if isinstance(part, dict) else dataclasses.asdict(part)


def _checked(config: Config) -> Config:
    if config.total_steps != int(config.total_steps):
        raise InputError(f"total_steps must be a whole number, got {config.total_steps}")
    config.total_steps = int(config.total_steps)
    least = {
        "total_steps": (config.total_steps, 1),
        "seeds": (config.seeds, 1),
        "seed": (config.seed, 0),
        "env.num_envs": (config.env.num_envs, 1),
        "run.chunks": (config.run.chunks, 1),
        "run.checkpoint_every": (config.run.checkpoint_every, 1),
        "run.keep": (config.run.keep, 1),
        "run.eval_episodes": (config.run.eval_episodes, 0),
    }
    for key, (value, least_value) in least.items():
        if value < least_value:
            raise InputError(f"{key} must be at least {least_value}, got {value}")
    return config
