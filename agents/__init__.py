"""Agents by name."""

from collections.abc import Mapping
from typing import Any

from rlseq import plugins, registry
from rlseq.errors import InputError, check_names
from rlseq.types import Agent, AgentClass, VecEnv

__all__ = ["agent_config", "make_agent", "update_steps"]


def make_agent(
    name: str,
    env: VecEnv,
    *,
    core: dict[str, Any] | None = None,
    world_model: dict[str, Any] | None = None,
    num_updates: int = 1,
    **hyperparameters: Any,
) -> Agent:
    """The named agent on an environment.

    Args:
        name: a registered agent; "imagination" needs a world model, the others have none.
        env: from `rlseq.make_env`.
        core: the memory, {"name": "s5", "features": 128, ...}; the rest as in `make_core`.
        world_model: {"name": "drama", "preset": "nano", ...}, the rest as in
            `rlseq.world_models.make_world_model`; the core is then its sequence model.
        num_updates: the length of the whole run, which schedules span.
        **hyperparameters: fields of `agent_config(name)`.

    Raises:
        InputError: an unknown name or field, a value out of its range, or a world model too many
            or too few.
    """
    agent_class = _agent_class(name)
    settings = agent_settings(name, hyperparameters)
    if world_model and not agent_class.needs_world_model:
        raise InputError(f"agent {name!r} has no world model: world_model=none")
    if agent_class.needs_world_model and not world_model:
        known = ", ".join(registry.names("world_model"))
        raise InputError(f"agent {name!r} needs a world model: world_model={known} or a preset")
    return construct(name, env, settings, core, num_updates, world_model)


def construct(
    name: str,
    env: VecEnv,
    settings: Any,
    core: dict[str, Any] | None = None,
    num_updates: int = 1,
    world_model: dict[str, Any] | None = None,
) -> Agent:
    """`make_agent` of settings that were checked."""
    core = dict(core or {"name": "s5"})
    agent = _agent_class(name)(env, settings, core, num_updates, world_model or None)
    plugins.check_members(f"agent {name!r}", agent, Agent)
    return agent


def agent_settings(name: str, hyperparameters: Mapping[str, Any]) -> Any:
    """The hyper-parameters of an agent, checked. Raises InputError as `make_agent`."""
    config = agent_config(name)
    check_names(f"option of agent {name!r}:", hyperparameters, config.__dataclass_fields__)
    return config(**hyperparameters)


def update_steps(name: str, hyperparameters: Mapping[str, Any], num_envs: int) -> int:
    """Environment steps of one update. Raises InputError as `make_agent`."""
    settings = agent_settings(name, hyperparameters)
    return _agent_class(name).update_steps(settings, num_envs)


def agent_config(name: str) -> type:
    """The frozen dataclass of an agent's hyper-parameters."""
    return _agent_class(name).Config


def _agent_class(name: str) -> AgentClass:
    agent_class = registry.load("agent", name)
    plugins.check_members(f"agent {name!r}", agent_class, AgentClass)
    return agent_class
