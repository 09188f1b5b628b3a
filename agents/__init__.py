"""Agents by name."""

from typing import Any

from rlseq import registry
from rlseq.errors import check_names
from rlseq.types import Agent, VecEnv

__all__ = ["agent_config", "make_agent"]


def make_agent(
    name: str,
    env: VecEnv,
    *,
    core: dict[str, Any] | None = None,
    num_updates: int = 1,
    **hyperparameters: Any,
) -> Agent:
    """The named agent on an environment.

    Args:
        name: "ppo".
        env: from `rlseq.make_env`.
        core: the memory, {"name": "s5", "features": 128, ...}; the rest as in `make_core`.
        num_updates: the length of the whole run, which learning-rate schedules span.
        **hyperparameters: fields of `agent_config(name)`.

    Raises:
        InputError: an unknown name or field, or a value out of its range.
    """
    kind = registry.load("agent", name)
    config = agent_config(name)
    check_names(f"option of agent {name!r}:", hyperparameters, config.__dataclass_fields__)
    return kind(env, config(**hyperparameters), dict(core or {"name": "s5"}), num_updates)


def agent_config(name: str) -> type:
    """The frozen dataclass of an agent's hyper-parameters."""
    return registry.load("agent", name).Config
