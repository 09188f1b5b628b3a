"""Agents by name."""

from typing import Any

from rlseq import registry
from rlseq.errors import InputError, check_names
from rlseq.types import Agent, VecEnv

__all__ = ["agent_config", "make_agent"]


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
        name: "ppo", or "imagination", which needs a world model.
        env: from `rlseq.make_env`.
        core: the memory, {"name": "s5", "features": 128, ...}; the rest as in `make_core`.
        world_model: {"name": "drama", "preset": "nano", ...}, the rest as in
            `rlseq.world_models.make_world_model`; the core is then its sequence model.
        num_updates: the length of the whole run, which learning-rate schedules span.
        **hyperparameters: fields of `agent_config(name)`.

    Raises:
        InputError: an unknown name or field, a value out of its range, or a world model too many
            or too few.
    """
    kind = registry.load("agent", name)
    config = agent_config(name)
    check_names(f"option of agent {name!r}:", hyperparameters, config.__dataclass_fields__)
    made, given = config(**hyperparameters), dict(core or {"name": "s5"})
    if not getattr(kind, "needs_world_model", False):
        if world_model:
            raise InputError(f"agent {name!r} has no world model: world_model=none")
        return kind(env, made, given, num_updates)
    if not world_model:
        known = ", ".join(registry.names("world_model"))
        raise InputError(f"agent {name!r} needs a world model: world_model={known} or a preset")
    return kind(env, made, given, num_updates, world_model)


def agent_config(name: str) -> type:
    """The frozen dataclass of an agent's hyper-parameters."""
    return registry.load("agent", name).Config
