"""The fields of a run's configuration: names, types, ranges and defaults.

The groups `core`, `agent` and `world_model` come from the registry: a core's own options are its
schema, so a new core is usable the moment it is registered.
"""

import dataclasses
import functools
import hashlib
import typing
from typing import Annotated, Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from rlseq import fields, registry
from rlseq.errors import InputError
from rlseq.fields import Length, NumEnvs, OneOf, Range, Text
from rlseq.overrides import PLUGIN

GROUPS = ("core", "agent", "world_model")
NO_MODEL = "none"  # world_model of agents that learn from what happens
LAST_SEED = 2**32 - 1  # the largest number that makes a key of its own

PRECISIONS = ("float32", "bfloat16")
TotalSteps = Annotated[int, Range(1, 10**12)]
Chunks = Annotated[int, Range(1, 1_000_000)]
Seeds = Annotated[int, Range(1, 4096)]
Episodes = Annotated[int, Range(0, 100_000)]


@dataclasses.dataclass
class EnvConfig:
    """Which environment, and how many of it side by side."""

    id: Annotated[str, Text()] = MISSING
    num_envs: NumEnvs = 64
    preset: Annotated[str | None, Text()] = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class RunConfig:
    """The folder, checkpoints and logs of a run; nothing here changes what is learned."""

    dir: Annotated[str | None, Text()] = None  # exactly this folder; null: a new one below root
    root: Annotated[str, Text()] = "runs"
    experiment: Annotated[str | None, Text()] = None  # its name in tables; null: experiment=
    mesh: Annotated[str | None, Text()] = None  # devices by axis: "env=4" or "seed=2,env=2"
    # Processes of this start, never kept: "auto" or "HOST:PORT,processes=4,rank=0"
    distributed: Annotated[str | None, Text()] = None
    chunks: Chunks = 100  # about how many log lines; the device runs alone in between
    checkpoint_every: Chunks = 10  # chunks
    keep: Annotated[int, Range(1, 10_000)] = 3  # newest checkpoints kept, beside the best
    eval_episodes: Episodes = 128  # per seed, after training; 0: none
    loggers: Annotated[list[str], Length(0, 8), Text()] = dataclasses.field(default_factory=list)
    plugins: Annotated[list[str], Length(0, 64), Text()] = dataclasses.field(default_factory=list)
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
    seed: Annotated[int, Range(0, LAST_SEED)] = 0  # seed i of `seeds` is seed + i
    seeds: Seeds = 1  # trained side by side in one program
    total_steps: TotalSteps = MISSING  # environment steps per seed
    precision: Annotated[str, OneOf(PRECISIONS)] = "float32"  # of products, not of parameters
    init_from: Annotated[str | None, Text()] = (
        None  # a run or model whose weights training begins with
    )


def register_groups() -> None:
    """Tell Hydra the schemas of every registered core, agent and world model.

    Of plug-ins, of those that can be imported: `rlseq.config_plugins` asks for those in use before.
    """
    ConfigStore.instance().store(name="schema", node=untyped(Config))
    for group in GROUPS:
        foreign = registry.of_plugins(group)
        for name in names_of(group):
            try:
                _store(group, name, registry.TABLES[group].get(name))
            except InputError:
                if name not in foreign:
                    raise


def hydra_name(name: str) -> str:
    """What a group's entry is called among Hydra's files, which know no '/' and no ':'."""
    if name.replace("-", "_").isidentifier():
        return name
    return PLUGIN + hashlib.sha256(name.encode()).hexdigest()[:16]


@functools.cache  # OmegaConf takes a quarter of a second for all of them
def _store(group: str, name: str, target: str | None) -> None:
    store = ConfigStore.instance()
    store.store(group=group, name=hydra_name(name), node=group_schema(group, name))
    presets = registry.load(group, name).presets if target and group == "world_model" else {}
    for preset, values in presets.items():
        store.store(group=group, name=preset, node=group_schema(group, name, values))


def names_of(group: str) -> list[str]:
    """What a group takes: the registered names, "stack" for mixed cores, "none" for no model."""
    from rlseq.cores import STACK

    return [*registry.names(group), *{"core": [STACK], "world_model": [NO_MODEL]}.get(group, [])]


def options_of(group: str, name: str) -> dict[str, tuple[Any, Any]]:
    """Option -> (declared type, default) of an entry of a group."""
    # Imported here: `rlseq.config` itself must not pull in flax and every agent.
    if group == "core":
        from rlseq.cores import core_fields

        return core_fields(name)
    if name == NO_MODEL:
        return {}
    from rlseq.agents import agent_config
    from rlseq.world_models import world_model_config

    schema = agent_config(name) if group == "agent" else world_model_config(name)
    types = fields.of(schema)
    return {f.name: (types[f.name], f.default) for f in dataclasses.fields(schema)}


def group_schema(group: str, name: str, preset: dict[str, Any] | None = None) -> type:
    """A dataclass of an entry's options as Hydra composes them, its name as the first field."""
    entries: list[Any] = [("name", Any, dataclasses.field(default=name))]
    for key, (_, default) in options_of(group, name).items():
        default = (preset or {}).get(key, default)
        value = list(default) if isinstance(default, tuple) else default
        factory = dataclasses.field(default_factory=lambda value=value: value)
        entries.append((key, Any, factory))
    return dataclasses.make_dataclass(f"{name}_{group}", entries)


def untyped(schema: type) -> type:
    """The same names and defaults without types: values are checked here, not by OmegaConf."""
    hints = typing.get_type_hints(schema)
    entries: list[Any] = []
    for field in dataclasses.fields(schema):
        if dataclasses.is_dataclass(hint := hints[field.name]):
            nested = untyped(typing.cast(type, hint))
            entries.append((field.name, nested, dataclasses.field(default_factory=nested)))
        elif field.default_factory is not dataclasses.MISSING:
            factory = dataclasses.field(default_factory=field.default_factory)
            entries.append((field.name, Any, factory))
        else:
            entries.append((field.name, Any, dataclasses.field(default=field.default)))
    return dataclasses.make_dataclass(schema.__name__, entries)
