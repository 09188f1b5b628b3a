"""The configuration of a run: composed by Hydra from `configs/` and overrides, checked once.

`rlseq.schema` says what each field may be. Hydra composes values of any type; `finish` checks
every one of them before anything is built, for the command line and for saved runs alike.
"""

import dataclasses
import os
import re
import typing
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlseq import config_plugins, config_yaml, fields, overrides
from rlseq.config_errors import explain, first_line
from rlseq.errors import InputError, check_names, shown, unknown_name
from rlseq.schema import (
    GROUPS,
    LAST_SEED,
    NO_MODEL,
    Config,
    EnvConfig,
    RunConfig,
    group_schema,
    names_of,
    options_of,
    register_groups,
    untyped,
)

__all__ = ["NO_MODEL", "Config", "EnvConfig", "RunConfig", "compose", "finish", "flat", "load"]

CONFIG_MODULE = "rlseq.configs"
# Options of make_env that a configuration names elsewhere, or that are not its to set.
RESERVED = {
    "id": "write env.id",
    "num_envs": "write env.num_envs",
    "preset": "write env.preset",
    "name": "write env.id",
    "action_log": "a run sets it by itself",
    "evaluation": "training and evaluation set it by themselves",
    "debug": "its checks need jax.experimental.checkify, which training does not use: step the "
    "environment in Python",
}


def compose(words: list[str]) -> Config:
    """The configuration that `configs/config.yaml` and the overrides make.

    Plug-ins that the overrides name are imported. Raises InputError for an unknown key or group
    option (with the nearest match), for a value that its field does not allow and for a plug-in
    that is not there or not what it should be.
    """
    split = config_plugins.take(overrides.split(words))
    register_groups()
    with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
        parsed = overrides.parse(split.hydra)
        for one in parsed:
            if one.is_sweep_override():
                raise InputError(f"{one.input_line} names several values: a sweep is `train -m`")
        overrides.check_groups(parsed)
        try:
            composed = hydra_compose("config", overrides=split.hydra)
        except Exception as error:
            raise explain(parsed, error) from error
    config = finish(composed, split.paths)
    name_experiment(config, words)
    return config


def name_experiment(config: Config, words: list[str]) -> None:
    """Set `run.experiment` to what `experiment=` is in the words, unless it has a name."""
    if config.run.experiment is None:
        config.run.experiment = overrides.experiment(words)


def finish(composed: DictConfig, paths: dict[str, Any] | None = None) -> Config:
    """A composed Hydra configuration as a checked Config, with paths of the command line put in.

    Raises InputError that names the key, the value and what is allowed.
    """
    try:
        tree = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except (OmegaConfBaseException, RecursionError) as error:
        key = getattr(error, "full_key", None)
        raise InputError(f"{f'{key}: ' if key else ''}{first_line(error)}") from error
    tree = typing.cast(dict[str, Any], tree)
    for key, value in (paths or {}).items():
        part, _, name = key.rpartition(".")
        (tree[part] if part else tree)[name] = value
    return _checked(tree)


def load(path: Path) -> Config:
    """The configuration a run folder holds.

    Raises InputError if it does not fit the schemas, and for plug-ins that nobody allowed
    (`rlseq.plugins`) or that cannot be imported.
    """
    raw = config_yaml.read(path)
    config_plugins.take_saved(raw, path)
    try:
        schema = OmegaConf.structured(untyped(Config))
        for group in GROUPS:
            if group in raw:  # older runs have no world model
                name = config_yaml.name_of(raw, group)
                schema[group] = OmegaConf.structured(group_schema(group, name))
        return finish(typing.cast(DictConfig, OmegaConf.merge(schema, raw)))
    except (OmegaConfBaseException, InputError, TypeError, ValueError, OverflowError) as error:
        key = getattr(error, "full_key", None)
        where = f"{key}: " if key else ""
        message = f"{path} is no configuration of a run: {where}{first_line(error)}"
        raise InputError(message) from error


def to_yaml(config: Config) -> str:
    """The merged configuration as YAML; `load` reads it back."""
    return OmegaConf.to_yaml(OmegaConf.create(_escaped(dataclasses.asdict(config))))


def flat(config: Config) -> dict[str, Any]:
    """Dotted key -> value, as the command line names them."""
    return _flat(dataclasses.asdict(config), "")


def _flat(node: dict[str, Any], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in node.items():
        nested = isinstance(value, dict)
        found |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def _escaped(value: Any) -> Any:
    """Texts as they are for OmegaConf, which would read `${name}` in them."""
    if isinstance(value, dict):
        return {key: _escaped(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    if isinstance(value, str):
        return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", value)
    return value


def _checked(tree: dict[str, Any]) -> Config:
    """The fields of a composed configuration, each checked. Raises InputError."""
    config_plugins.check_saved(tree, "the configuration")
    env = EnvConfig(**_values(fields.of(EnvConfig), tree["env"], "env"))
    run = RunConfig(**_values(fields.of(RunConfig), tree["run"], "run"))
    own = {key: tree[key] for key in ("seed", "seeds", "total_steps", "precision", "init_from")}
    groups = {group: _group(group, tree[group]) for group in GROUPS}
    config = Config(env=env, run=run, **groups, **_values(fields.of(Config), own, ""))
    if config.seed + config.seeds - 1 > LAST_SEED:
        raise InputError(
            f"seed + seeds must be at most {LAST_SEED + 1}, what a key holds, got "
            f"{config.seed} + {config.seeds}"
        )
    for key in ("dir", "root"):
        if getattr(run, key) is not None:
            setattr(run, key, overrides.place(f"run.{key}", getattr(run, key)))
    if config.agent.get("data"):  # of agents that learn from a file
        config.agent["data"] = _whole_path("agent.data", config.agent["data"])
    if config.init_from is not None:
        config.init_from = _whole_path("init_from", config.init_from)
    env.options = _env_options(env)
    return config


def _whole_path(key: str, value: str) -> str:
    """As it is kept, so that a run resumes from any folder."""
    return os.path.abspath(overrides.place(key, value))


def _group(group: str, value: Any) -> dict[str, Any]:
    """The name of a group's entry and its options."""
    name = value.get("name") if isinstance(value, dict) else value
    if name not in names_of(group):
        raise unknown_name(group, name, names_of(group))
    known = options_of(group, name)
    values = {key: value[key] for key in value if key != "name"}
    check_names(f"option of {group} {name!r}:", values, known)
    declared = {key: annotation for key, (annotation, _) in known.items()}
    return {"name": name, **_values(declared, values, group)}


def _env_options(env: EnvConfig) -> dict[str, Any]:
    options = env.options
    if not isinstance(options, dict):
        raise InputError(f"env.options reads like env.options.k=3, got {shown(options)}")
    for name in options:
        if name in RESERVED:
            raise InputError(f"env.options.{name} cannot be set: {RESERVED[name]}")
    if not options:
        return {}  # and no environment is imported
    from rlseq.envs import check_options, option_types

    declared = option_types(env.id)
    read = {name: fields.whole(declared.get(name), value) for name, value in options.items()}
    return _plain(check_options(env.id, read, "env.options."))


def _values(declared: dict[str, Any], values: Any, part: str) -> dict[str, Any]:
    """The values of one part as its fields take them."""
    if not isinstance(values, dict):
        raise InputError(f"{part} reads like {part}.KEY=VALUE, got {shown(values)}")
    read = {key: fields.whole(declared[key], value) for key, value in values.items()}
    return _plain(fields.check_all(declared, read, f"{part}." if part else ""))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Lists for tuples, as YAML has them."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
