"""World models by name: a discrete autoencoder around any sequence core."""

from collections.abc import Mapping
from typing import Any

from rlseq import plugins, registry
from rlseq.errors import check_names, unknown_name
from rlseq.world_models.types import WorldModel, WorldModelClass

__all__ = ["make_world_model", "world_model_config"]


def make_world_model(
    name: str,
    obs_space: Any,
    num_actions: int,
    *,
    core: Mapping[str, Any] | None = None,
    preset: str | None = None,
    **options: Any,
) -> WorldModel:
    """The named world model of an environment.

    Args:
        name: a registered world model, such as "drama".
        obs_space: a gymnax space, as in `env.spec.obs_space`; it decides on the encoder.
        num_actions: how many discrete actions there are.
        core: the sequence model, {"name": "mamba2", ...}; the rest as in `rlseq.make_core`. What
            it leaves out is the preset's: width, layers, norm and residual.
        preset: of drama "drama_xs", "drama_s", "nano" or "nano_atari"; without one "nano", and of
            a model that has no such preset the defaults of its options.
        **options: fields of `world_model_config(name)`, over those of the preset.

    Raises:
        InputError: an unknown name, preset or option, a value out of its range, an observation
            that the encoder cannot divide, a core that cannot step, or a world model of the user's
            own that lacks what `WorldModel` asks for.
    """
    model_class = _model_class(name)
    if preset is None and "nano" in model_class.presets:
        preset = "nano"
    if preset is not None and preset not in model_class.presets:
        raise unknown_name(f"preset of {name}", preset, model_class.presets)
    config = world_model_config(name)
    check_names(f"option of world model {name!r}:", options, config.__dataclass_fields__)
    values = {**(model_class.presets[preset] if preset else {}), **options}
    model = model_class(obs_space, num_actions, config(**values), dict(core or {"name": "mamba2"}))
    plugins.check_members(f"world model {name!r}", model, WorldModel)
    return model


def world_model_config(name: str) -> type:
    """The frozen dataclass of a world model's hyper-parameters."""
    return _model_class(name).Config


def _model_class(name: str) -> Any:
    model_class = registry.load("world_model", name)
    plugins.check_members(f"world model {name!r}", model_class, WorldModelClass)
    return model_class
