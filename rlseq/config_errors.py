"""Errors in the overrides of a command line, explained without Hydra's own messages."""

from typing import Any

from hydra import compose as hydra_compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlseq.errors import InputError, unknown_name
from rlseq.overrides import OPEN_KEY


def explain(parsed: list[Override], error: Exception) -> InputError:
    """The InputError for an error of Hydra, naming the override; needs Hydra initialised."""
    loader = GlobalHydra.instance().config_loader()
    single = [one for one in parsed if "." not in one.key_or_group]
    groups = [one for one in single if loader.get_group_options(one.key_or_group)]
    return _explain_keys(parsed, groups, loader.list_groups("")) or _explain_value(parsed, error)


def _explain_keys(
    parsed: list[Override], groups: list[Override], group_names: list[str]
) -> InputError | None:
    try:
        base = hydra_compose("config", overrides=[str(one.input_line) for one in groups])
    except (HydraException, OmegaConfBaseException):
        return None  # a fault inside a YAML file, not in the keys on the command line
    keys = _flat_keys(OmegaConf.to_container(base, resolve=False))
    for one in parsed:
        key = one.key_or_group
        if one not in groups and key not in keys and not key.startswith((OPEN_KEY, "hydra.")):
            parent = key.rpartition(".")[0]
            siblings = [name for name in keys if name.rpartition(".")[0] == parent]
            ours = [name for name in group_names if name != "hydra"]
            known = siblings if parent else [*siblings, *ours]
            return unknown_name("key", key, set(known or keys))
    return None


def _explain_value(parsed: list[Override], error: Exception) -> InputError:
    cause = error.__cause__ or error
    key = getattr(cause, "full_key", None)
    for one in parsed:
        if key and one.key_or_group == key:
            return InputError(f"{one.input_line}: {first_line(cause)}")
    return InputError(f"{first_line(error)} {first_line(cause) if cause is not error else ''}")


def _flat_keys(node: Any, prefix: str = "") -> list[str]:
    keys = []
    for name, value in node.items():
        keys.append(f"{prefix}{name}")
        if isinstance(value, dict):
            keys += _flat_keys(value, f"{prefix}{name}.")
    return keys


def first_line(error: BaseException) -> str:
    """Of its message; its type where it has none."""
    return str(error).strip().split("\n")[0] or type(error).__name__
