"""Environments: `make_env` builds any registered one, E of them side by side.

Everything heavy is imported on use, so that listing names is quick.
"""

import inspect
from typing import Any

from rlseq import registry
from rlseq.errors import InputError, check_names, unknown_name
from rlseq.types import VecEnv

OBSERVE = ("obs", "state", "both")

__all__ = ["env_ids", "make_env"]


def env_ids() -> list[str]:
    """Every id "family:Name", family by family."""
    families = registry.names("env")
    return [f"{f}:{name}" for f in families for name in registry.load("env", f).ids()]


def make_env(
    id: str,
    num_envs: int = 1,
    *,
    observe: str = "obs",
    previous_action: bool = False,
    start_flag: bool = False,
    flatten: bool = False,
    statistics: bool = False,
    **options: Any,
) -> VecEnv:
    """E = num_envs copies of the environment "family:Name", usable inside jit.

    `options` go to the environment (`k=8`). `observe="state"` shows the hidden state in place of
    the observation, "both" a dict of the two, under "obs" and "state", where there is one.
    The switches add wrappers, in this order from the inside: the previous action beside the
    observation, a flag on first observations, one flat float32 vector as observation, returns
    and lengths of episodes in the state (`rlseq.envs.wrappers.episode_stats`).

    Raises InputError for an unknown family, name or option, for impossible option values, for
    num_envs below 1, and for an environment without a state to show; unknown names come with the
    nearest match.
    """
    family, colon, name = id.partition(":")
    if not colon:
        raise unknown_name("environment", id, env_ids())
    if observe not in OBSERVE:
        raise unknown_name("value of observe", observe, OBSERVE)
    made = registry.load("env", family)
    if hasattr(made, "make_batch"):
        if observe != "obs":
            raise InputError(f"{id} has no state to show, got observe={observe!r}")
        venv = _make_batch(made, id, name, num_envs, options)
    else:
        venv = _vmapped(made, id, name, num_envs, observe, options)

    from rlseq.envs import wrappers

    for wanted, wrap in (
        (previous_action, wrappers.PreviousAction),
        (start_flag, wrappers.StartFlag),
        (flatten, wrappers.FlattenObservation),
        (statistics, wrappers.EpisodeStatistics),
    ):
        if wanted:
            venv = wrap(venv)
    return venv


def _make_batch(family: Any, id: str, name: str, num_envs: int, options: dict[str, Any]) -> VecEnv:
    """From a family that batches by itself."""
    known = inspect.signature(family.make_batch).parameters
    check_names(f"option of {id}", options, [k for k in known if k not in ("name", "num_envs")])
    return family.make_batch(name, num_envs, **options)


def _vmapped(
    family: Any, id: str, name: str, num_envs: int, observe: str, options: dict[str, Any]
) -> VecEnv:
    """By vmap over a JAX environment."""
    env, params = family.make(name, **options)

    from rlseq.envs.base import Env
    from rlseq.envs.gymnax_adapter import Adapted
    from rlseq.envs.twin import Twin
    from rlseq.envs.vec import JaxVecEnv

    if not isinstance(env, Env):
        env = Adapted(env, params)
    if observe != "obs":
        env = Twin(env, both=observe == "both")
    return JaxVecEnv(env, params, num_envs, id)
