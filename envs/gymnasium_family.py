"""Environments of gymnasium that exist only there, stepped on the host by ordered callbacks.

The names listed are those that gymnasium brings along and that need no other package; every id of
its registry works, also "my_package.module:Name-v0", which imports the module first.
"""

from typing import Any

from rlseq.errors import InputError, unknown_name
from rlseq.types import VecEnv

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


class GymnasiumFamily:
    """gymnasium's environments; options are those of `gymnasium.make`."""

    def ids(self) -> list[str]:
        """The names after "gymnasium:" that are listed; others work too."""
        return list(IDS)

    def make_batch(
        self,
        name: str,
        num_envs: int,
        *,
        action_log: int = 0,
        **options: Any,
    ) -> VecEnv:
        """E = num_envs copies, all in this process.

        `action_log` is the L of `rlseq.envs.action_log`; 0 keeps none.

        Raises InputError for an unknown name (with the nearest), for num_envs below 1, for what
        `gymnasium.make` refuses (an option, a missing package) and for spaces that have no
        counterpart here.
        """
        if num_envs < 1:
            raise InputError(f"num_envs must be at least 1, got {num_envs}")
        import gymnasium

        if ":" not in name and name not in gymnasium.registry:
            raise unknown_name("gymnasium environment", name, gymnasium.registry)

        from rlseq.envs.gymnasium_vec import GymnasiumVecEnv

        return GymnasiumVecEnv(name, num_envs, options, action_log)


FAMILY = GymnasiumFamily()
