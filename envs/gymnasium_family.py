"""Environments of gymnasium that exist only there, stepped on the host by ordered callbacks.

The names listed come with gymnasium and need no other package. Every id of its registry works, also
"my_package.module:Name-v0", which imports the module first.
"""

import importlib
import inspect
from typing import Annotated, Any

from rlseq.docstrings import first_sentence
from rlseq.errors import InputError, unknown_name
from rlseq.fields import INT32, Length, Range, Share, Text, like
from rlseq.types import BatchedFamily, VecEnv

IDS = (
    "CartPole-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
    "Acrobot-v1",
    "Blackjack-v1",
    "CliffWalking-v1",
    "FrozenLake-v1",
    "FrozenLake8x8-v1",
    "Taxi-v4",
)

Limit = Annotated[int | None, Range(1, INT32)]
Keys = Annotated[tuple[str, ...] | None, Length(1, 100), Text()]
RESERVED = frozenset(("id", "name", "vector_kwargs", "vectorization_mode"))


class GymnasiumFamily:
    """gymnasium's environments; options are those of `gymnasium.make`, and `obs_keys`."""

    def ids(self) -> list[str]:
        """The names after "gymnasium:" that are listed; others work too."""
        return list(IDS)

    def options(self, name: str) -> dict[str, Any]:
        """Option -> declared type: those of `gymnasium.make`, and of an environment's constructor
        by their defaults; `obs_keys`, which is ours, keeps these parts of a Dict of observations.

        Raises InputError for an unknown name (with the nearest)."""
        own = {
            key: Share if key.endswith(("_rate", "_prob", "_probability")) else like(default)
            for key, default in _constructor(name).items()
        }
        ours = {"max_episode_steps": Limit, "disable_env_checker": bool | None, "obs_keys": Keys}
        return {**own, **ours}

    def about(self, name: str) -> str:
        """What all of gymnasium's environments have in common."""
        return first_sentence(__name__)

    def make_batch(
        self,
        name: str,
        num_envs: int,
        *,
        action_log: int = 0,
        evaluation: bool = False,
        **options: Any,
    ) -> VecEnv:
        """E = num_envs copies, all in this process.

        `action_log` is the L of `rlseq.envs.action_log`; 0 keeps none.

        Raises InputError for an unknown name (with the nearest), for what
        `gymnasium.make` refuses (an option, a missing package) and for spaces that have no
        counterpart here.
        """
        del evaluation  # plays as in training
        if names := RESERVED & set(options):
            raise InputError(f"gymnasium.make has {', '.join(sorted(names))} already")
        _check_name(name)

        from rlseq.envs.gymnasium_vec import GymnasiumVecEnv

        return GymnasiumVecEnv(name, num_envs, options, action_log)


def _check_name(name: str) -> None:
    import gymnasium

    if ":" not in name and name not in gymnasium.registry:
        raise unknown_name("gymnasium environment", name, gymnasium.registry)


def _constructor(name: str) -> dict[str, Any]:
    """Option -> default of an environment's constructor, as far as they can be read."""
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    _check_name(name)
    module, _, known = name.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        spec = gymnasium.spec(known)
        make = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else None
        parameters = inspect.signature(make or spec.entry_point).parameters  # type: ignore
    except Exception:  # an error of the import is reported when the environment is built
        return {}
    defaults = {key: p.default for key, p in parameters.items() if p.default is not p.empty}
    return defaults | {key: value for key, value in spec.kwargs.items() if key in defaults}


FAMILY: BatchedFamily = GymnasiumFamily()
