"""How the games are played: frozen settings of published benchmarks."""

from typing import NamedTuple


class Preset(NamedTuple):
    """All that decides what an agent sees and what it is paid; frames are skipped by four."""

    size: int  # height and width of an observation, shrunk by pixel area
    grey: bool  # one channel a frame, else three
    stack: int  # frames side by side in the channels
    sticky: float  # probability that a frame repeats the action before
    noop_max: int  # idle frames after a reset: uniform over 0 .. noop_max - 1; 0 is none
    full_actions: bool  # all 18 actions, else those with an effect in the game
    max_frames: int  # an episode is cut after so many frames of the emulator
    clip: bool  # rewards become their signs
    life_loss: bool  # a lost life ends an episode for the learner; the game goes on


# Kaiser et al. 1903.00374 for the budget and games; 64 x 64 RGB and unclipped rewards as in IRIS
# (2209.00588, config/env/default.yaml) and DIAMOND (2405.12399, config/env/atari.yaml).
ATARI100K = Preset(64, False, 1, 0.0, 30, False, 108_000, False, True)

PRESETS = {
    "atari100k": ATARI100K,
    # Drama 2410.08893, env_wrapper.py and train.py: no idle frames.
    "atari100k_drama": ATARI100K._replace(noop_max=0),
    # Mnih et al. 2015 (Nature 518), methods: 84 x 84 luminance, four frames, signs of rewards.
    "atari_dqn": Preset(84, True, 4, 0.0, 30, False, 108_000, True, True),
    # Machado et al. 1709.06009, section 5: sticky actions, all actions, whole games.
    "atari_machado": Preset(84, True, 4, 0.25, 0, True, 108_000, False, False),
}
