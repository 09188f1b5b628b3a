"""The speed of the popgym package under random actions, where it is installed."""

import functools
import importlib.util
import multiprocessing
import time
import warnings
from collections.abc import Callable
from typing import Any

from rlseq import registry

COPIES = 8  # of the vector form, a process each


def popgym_rates(
    env_id: str, at_least: float, *, processes: bool = True
) -> dict[str, float | None]:
    """Steps per second of popgym's own class, alone and, with `processes`, as `COPIES` processes.

    None for what was not asked for, environments that are not POPGym's and without the package.
    """
    names = "popgym", f"popgym, {COPIES} processes"
    family, name = env_id.split(":")
    if family != "popgym" or importlib.util.find_spec("popgym") is None:
        return dict.fromkeys(names)
    name = registry.load("env", "popgym").aliases.get(name, name)
    alone = _alone(_make(name), at_least)
    together = _together(functools.partial(_make, name), at_least) if processes else None
    return dict(zip(names, (alone, together), strict=True))


def _make(name: str) -> Any:
    with warnings.catch_warnings():  # mazelib warns of its own imports
        warnings.simplefilter("ignore", DeprecationWarning)
        import popgym.envs

        return getattr(popgym.envs, name)()


def _alone(env: Any, at_least: float) -> float:
    env.reset(seed=0)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < at_least or steps < 100:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        steps += 1
        if terminated or truncated:
            env.reset()
    return steps / (time.perf_counter() - began)


def _together(make: Callable[[], Any], at_least: float) -> float:
    from gymnasium.vector import AsyncVectorEnv

    # Processes from a server that has popgym loaded: no fork of this one, with JAX's threads.
    multiprocessing.set_forkserver_preload(["popgym.envs"])
    vector: Any = AsyncVectorEnv([make] * COPIES, context="forkserver")
    try:
        vector.reset(seed=0)
        vector.step(vector.action_space.sample())
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < at_least or steps < 100:
            vector.step(vector.action_space.sample())
            steps += 1
        return COPIES * steps / (time.perf_counter() - began)
    finally:
        vector.close()
