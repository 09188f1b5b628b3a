"""The environments of gymnax 1.0: classic control, MinAtar, bsuite and others.

The names are written out because importing gymnax takes seconds; a test compares them with
gymnax's own list.
"""

import dataclasses
import inspect
from typing import Any

from rlseq.errors import check_names, unknown_name

# MNISTBandit-bsuite is left out: it downloads data when built.
IDS = (
    "CartPole-v1",
    "Pendulum-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Asterix-MinAtar",
    "Breakout-MinAtar",
    "Freeway-MinAtar",
    "Seaquest-MinAtar",
    "SpaceInvaders-MinAtar",
    "Catch-bsuite",
    "DeepSea-bsuite",
    "MemoryChain-bsuite",
    "UmbrellaChain-bsuite",
    "DiscountingChain-bsuite",
    "SimpleBandit-bsuite",
    "FourRooms-misc",
    "MetaMaze-misc",
    "PointRobot-misc",
    "BernoulliBandit-misc",
    "GaussianBandit-misc",
    "Reacher-misc",
    "Swimmer-misc",
    "Pong-misc",
    "FrozenLake-misc",
)


class GymnaxFamily:
    """gymnax's environments; options are constructor arguments or fields of its params."""

    def ids(self) -> list[str]:
        """The names after "gymnax:"."""
        return list(IDS)

    def make(self, name: str, **options: Any) -> tuple[Any, Any]:
        """(environment, its params). Raises InputError for an unknown name or option."""
        if name not in IDS:
            raise unknown_name("gymnax environment", name, IDS)

        from gymnax import registration

        from rlseq.envs.gymnax_adapter import loose_promotion

        with loose_promotion():
            for_env = inspect.signature(registration._registry[name]).parameters
            _, params = registration.make(name)
            for_params = [field.name for field in dataclasses.fields(params)]
            check_names(f"option of gymnax:{name}", options, [*for_env, *for_params])
            given = {key: options.pop(key) for key in list(options) if key in for_env}
            env, params = registration.make(name, **given)
            return env, params.replace(**_typed(params, options))


def _typed(params: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Whole numbers as floats where the params hold floats; gymnax selects between the two."""
    is_float = {key: isinstance(getattr(params, key), float) for key in options}
    return {key: float(value) if is_float[key] else value for key, value in options.items()}


FAMILY = GymnaxFamily()
