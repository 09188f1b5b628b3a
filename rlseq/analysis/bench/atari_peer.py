"""gymnasium's own form of a game of Atari100k; imported by the processes of its vector form."""

from typing import Any


def make_peer(game: str, size: int, noop_max: int) -> Any:
    """One game with gymnasium's AtariPreprocessing: RGB, no sticky actions, whole games."""
    import ale_py
    import gymnasium
    from gymnasium.wrappers import AtariPreprocessing

    gymnasium.register_envs(ale_py)
    raw = gymnasium.make(f"ALE/{game}-v5", frameskip=1, repeat_action_probability=0.0)
    return AtariPreprocessing(raw, noop_max=noop_max, screen_size=size, grayscale_obs=False)
