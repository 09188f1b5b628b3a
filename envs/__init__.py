"""Environments: `make_env` builds any registered one, E of them side by side.

Everything heavy is imported on use, so that listing names is quick.
"""

import inspect
from typing import Any

from rlseq import registry
from rlseq.errors import check_names, unknown_name
from rlseq.types import VecEnv

__all__ = ["env_ids", "make_env"]


def env_ids() -> list[str]:
    """Every id "family:Name", family by family."""
    families = registry.names("env")
    return [f"{f}:{name}" for f in families for name in registry.load("env", f).ids()]


def make_env(
    id: str,
    num_envs: int = 1,
    *,
    previous_action: bool = False,
    start_flag: bool = False,
    flatten: bool = False,
    statistics: bool = False,
    **options: Any,
) -> VecEnv:
    """E = num_envs copies of the environment "family:Name", usable inside jit.

    `options` go to the environment (`k=8`). The switches add wrappers, in this order from the
    inside: the previous action beside the observation, a flag on first observations, one flat
    float32 vector as observation, returns and lengths of episodes in the state
    (`rlseq.envs.wrappers.episode_stats`).

    Raises InputError for an unknown family, name or option, for impossible option values and
    for num_envs below 1; the first three name the nearest match.
    """
    family, colon, name = id.partition(":")
    if not colon:
        raise unknown_name("environment", id, env_ids())
    venv = _make_batch(registry.load("env", family), id, name, num_envs, options)

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
    """From a family that batches by itself (`make_batch`), or by vmap over a JAX environment."""
    if hasattr(family, "make_batch"):
        known = inspect.signature(family.make_batch).parameters
        check_names(f"option of {id}", options, [k for k in known if k not in ("name", "num_envs")])
        return family.make_batch(name, num_envs, **options)
    env, params = family.make(name, **options)

    from rlseq.envs.base import Env
    from rlseq.envs.gymnax_adapter import Adapted
    from rlseq.envs.vec import JaxVecEnv

    if not isinstance(env, Env):
        env = Adapted(env, params)
    return JaxVecEnv(env, params, num_envs, id)
