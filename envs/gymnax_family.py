"""The environments of gymnax 1.0: classic control, MinAtar, bsuite and others.

The names are written out because importing gymnax takes seconds; a test compares them with
gymnax's own list.
"""

import dataclasses
import inspect
from typing import Annotated, Any

from rlseq.docstrings import first_sentence
from rlseq.errors import InputError, check_names, unknown_name
from rlseq.fields import INT32, Episode, Length, OneOf, Range, Share, Text, like
from rlseq.types import JaxFamily

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


Side = Annotated[int, Range(2, 100)]
Square = Annotated[tuple[int, ...] | None, Length(2, 2), Range(0, 100)]
# What the constructors take, all of gymnax's environments together.
CONSTRUCTORS: dict[str, Any] = {
    "use_minimal_action_set": bool,
    "rows": Side,
    "columns": Side,
    "size": Side,
    "num_bits": Annotated[int, Range(1, 4096)],
    "n_distractor": Annotated[int, Range(0, 4096)],
    "n_actions": Annotated[int, Range(1, 5)],
    "mapping_seed": Annotated[int, Range(0, INT32)],
    "num_actions": Annotated[int, Range(2, 65_536)],
    "use_visual_obs": bool,
    "goal_fixed": Square,
    "pos_fixed": Square,
    "maze_size": Annotated[int, Range(5, 99)],
    "rf_size": Annotated[int, Range(1, 99)],
    "num_joints": Annotated[int, Range(1, 100)],
    "num_urchins": Annotated[int, Range(1, 1000)],
    "width": Side,
    "height": Side,
    "paddle_half_height": Annotated[int, Range(1, 49)],
    "desc": Annotated[tuple[str, ...] | None, Length(1, 100), Text()],
    "map_name": Annotated[str | None, OneOf(("4x4", "8x8"))],
    "is_slippery": bool,
    "success_rate": Share,
    "reward_schedule": Annotated[tuple[float, ...], Length(3, 3), Range(-1e9, 1e9)],
}


class GymnaxFamily:
    """gymnax's environments; options are constructor arguments or fields of its params."""

    def ids(self) -> list[str]:
        """The names after "gymnax:"."""
        return list(IDS)

    def options(self, name: str) -> dict[str, Any]:
        """Option -> declared type, of a parameter by its default. Raises InputError for an
        unknown name."""
        for_env, params = _defaults(name)
        declared = {
            field.name: _like(getattr(params, field.name)) for field in dataclasses.fields(params)
        }
        declared["max_steps_in_episode"] = Episode
        return {key: CONSTRUCTORS[key] for key in for_env} | declared

    def about(self, name: str) -> str:
        """What all of gymnax's environments have in common."""
        return first_sentence(__name__)

    def make(self, name: str, **options: Any) -> tuple[Any, Any]:
        """(environment, its params). Raises InputError for an unknown name or option, and for
        options with which it cannot be reset and stepped."""
        known = self.options(name)
        check_names(f"option of gymnax:{name}", options, known)

        from gymnax import registration

        from rlseq.envs.gymnax_adapter import default_rules

        for_env, _ = _defaults(name)
        arguments = {key: value for key, value in options.items() if key in for_env}
        others = {key: value for key, value in options.items() if key not in for_env}
        with default_rules():
            try:
                env, params = registration.make(name, **arguments)
                params = params.replace(**_typed(params, others))
                if options:
                    _try(env, params)
            except Exception as error:
                message = " ".join(f"{type(error).__name__}: {error}".split())
                raise InputError(
                    f"gymnax:{name} cannot be made with {options}: {message}"
                ) from error
        return env, params


def _defaults(name: str) -> tuple[list[str], Any]:
    """(what the constructor takes, the default params). Raises InputError for an unknown name."""
    if name not in IDS:
        raise unknown_name("gymnax environment", name, IDS)

    from gymnax import registration

    from rlseq.envs.gymnax_adapter import default_rules

    with default_rules():
        _, params = registration.make(name)
    arguments = inspect.signature(registration._registry[name]).parameters
    return [key for key in arguments if key in CONSTRUCTORS], params


def _like(default: Any) -> Any:
    """The declared type of a parameter; of an array a list of as many entries."""
    if getattr(default, "ndim", 0) != 1:
        return like(default)
    of, bound = (int, INT32) if default.dtype.kind == "i" else (float, 1e9)
    return Annotated[tuple[of, ...], Length(len(default), len(default)), Range(-bound, bound)]


def _typed(params: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Options in the types of the params; gymnax needs floats where the default is one."""
    typed = {}
    for key, value in options.items():
        default = getattr(params, key)
        if isinstance(default, float):
            value = float(value)
        elif hasattr(default, "dtype"):
            value = _array(value, default)
        typed[key] = value
    return typed


def _array(value: Any, default: Any) -> Any:
    import jax.numpy as jnp

    return jnp.asarray(value, default.dtype)


def _try(env: Any, params: Any) -> None:
    """Reset and step without computing anything. Raises what gymnax raises."""
    import jax

    key = jax.random.key(0)
    _, state = jax.eval_shape(env.reset_env, key, params)
    action = jax.eval_shape(env.action_space(params).sample, key)
    jax.eval_shape(env.step_env, key, state, action, params)


FAMILY: JaxFamily = GymnaxFamily()
