"""Settings of the games: fixed presets of published benchmarks, and `custom` for others."""

from typing import Annotated, Any, NamedTuple

from rlseq.errors import InputError, unknown_name
from rlseq.fields import OneOf, Range, Share

CUSTOM = "custom"
# How the 210 x 160 frames shrink: "emulator" is OpenCV's INTER_AREA inside ALE; "area" is the same
# in JAX, to the bit at size 64; "triangle" is Pillow's BILINEAR, in JAX.
RESIZES = ("emulator", "area", "triangle")
Size = Annotated[int, Range(1, 160)]  # frames are shrunk, never enlarged
Frames = Annotated[int, Range(1, 16)]
Idle = Annotated[int, Range(0, 1000)]
MaxFrames = Annotated[int, Range(4, 108_000)]
Resize = Annotated[str, OneOf(RESIZES)]


class Preset(NamedTuple):
    """Everything that decides observations and rewards; frames are skipped by four."""

    size: Size  # height and width of an observation
    grey: bool  # one channel a frame, else three
    stack: Frames  # frames side by side in the channels
    sticky: Share  # probability that a frame repeats the action before
    noop_max: Idle  # idle frames after a reset: uniform over 0 .. noop_max - 1; 0 is none
    full_actions: bool  # all 18 actions, else those with an effect in the game
    max_frames: MaxFrames  # an episode is cut after so many frames of the emulator
    clip: bool  # rewards become their signs
    life_loss: bool  # a lost life ends an episode for the learner; the game goes on
    resize: Resize = "emulator"  # one of RESIZES


# Kaiser et al. 1903.00374 for the budget and games; 64 x 64 RGB and unclipped rewards as in IRIS
# (2209.00588, config/env/default.yaml) and DIAMOND (2405.12399, config/env/atari.yaml).
ATARI100K = Preset(64, False, 1, 0.0, 30, False, 108_000, False, True)

PRESETS = {
    "atari100k": ATARI100K,
    # Drama 2410.08893, env_wrapper.py and train.py: no idle frames.
    "atari100k_drama": ATARI100K._replace(noop_max=0),
    # Ours, for experiment=atari100k_nano: a third of the pixels.
    "atari100k_grey": ATARI100K._replace(grey=True),
    # DreamerV3 2301.04104, embodied/envs/atari.py and configs.yaml: Pillow's pixels, lives unused.
    "atari100k_dreamerv3": ATARI100K._replace(life_loss=False, resize="triangle"),
    # Mnih et al. 2015 (Nature 518), methods: 84 x 84 luminance, four frames, signs of rewards.
    "atari_dqn": Preset(84, True, 4, 0.0, 30, False, 108_000, True, True),
    # Machado et al. 1709.06009, section 5: sticky actions, all actions, whole games.
    "atari_machado": Preset(84, True, 4, 0.25, 0, True, 108_000, False, False),
    CUSTOM: ATARI100K,  # starts as atari100k and may be changed
}


def choose(name: str, settings: dict[str, Any]) -> Preset:
    """The preset of a name with `settings` in place of its own.

    Only `custom` takes others than its own: a result with a preset's name used exactly
    its settings. `resize="area"` at size 64 shows what `"emulator"` shows and breaks no name.

    Raises InputError for an unknown preset, with the nearest, for a setting that breaks the
    preset's name.
    """
    if name not in PRESETS:
        raise unknown_name("atari preset", name, PRESETS)
    own = PRESETS[name]
    chosen = own._replace(**settings)
    same = own._replace(resize=chosen.resize) if _same_pixels(own, chosen) else own
    if name != CUSTOM and chosen != same:
        changed = [key for key in settings if getattr(chosen, key) != getattr(same, key)]
        raise InputError(
            f"the preset {name!r} has {_as_text(same, changed)}; {_as_text(chosen, changed)} "
            f"would not be {name!r} any more: give preset={CUSTOM!r}, which begins as "
            "'atari100k', and what is to differ"
        )
    return chosen


def _same_pixels(one: Preset, other: Preset) -> bool:
    return one.size == 64 and {one.resize, other.resize} <= {"emulator", "area"}


def _as_text(preset: Preset, keys: list[str]) -> str:
    return ", ".join(f"{key}={getattr(preset, key)!r}" for key in keys)
