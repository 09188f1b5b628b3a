"""Our Atari games beside gymnasium's AtariPreprocessing, counted step by step.

As a script, on all 26 games: against_gymnasium FOLDER writes equality.csv there.
"""

import csv
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import ale_py
import gymnasium
import jax
import numpy as np
from gymnasium.wrappers import AtariPreprocessing

from rlseq.envs import make_env
from rlseq.envs.atari import GAMES
from rlseq.train.runs import environment_info

gymnasium.register_envs(ale_py)
# (size, grey): what agents of Atari100k see, and what DQN sees of one frame.
FORMATS = ((64, False), (84, True))
STEPS = 600


class Differences(NamedTuple):
    """How many of some steps differ."""

    frames: int
    rewards: int
    ends: int
    lives: int
    steps: int
    episodes: int


def compare(game: str, size: int, grey: bool, steps: int, seed: int = 0) -> Differences:
    """Random play in both, with the same actions: what differs, the first observation included."""
    settings: dict[str, Any] = {"size": size, "grey": grey, "noop_max": 0}
    env = make_env(f"atari:{game}", preset="custom", **settings)
    rng = np.random.default_rng(seed)
    actions = rng.integers(0, env.spec.action_space.n, (steps, 1)).astype(np.int32)
    ours = jax.device_get(jax.jit(partial(_play, env))(jax.random.key(seed), actions))
    theirs = _by_gymnasium(game, size, grey, actions[:, 0])
    apart = [np.array(a).reshape(len(b), -1) != b for a, b in zip(ours, theirs, strict=True)]
    counts = [int(rows.any(1).sum()) for rows in apart]
    return Differences(*counts, steps, int(theirs[2].any(1).sum()))


def _play(env: Any, key: jax.Array, actions: np.ndarray) -> tuple:
    def body(state: Any, action: jax.Array) -> tuple:
        state, ts = env.step(state, action, key)
        return state, (ts.obs, ts.reward, (ts.terminated, ts.truncated), state.lives)

    state, first = env.reset(key)
    start = first.obs, first.reward, (first.terminated, first.truncated), state.lives
    rest = jax.lax.scan(body, state, actions)[1]
    whole = jax.tree.map(lambda a, b: jax.numpy.concatenate([a[None], b]), start, rest)
    return *whole[:2], jax.numpy.stack(whole[2], -1), whole[3]


def _by_gymnasium(game: str, size: int, grey: bool, actions: np.ndarray) -> tuple:
    """(frames, rewards, ends, lives), each [steps + 1, ...]; one step is lost to each restart."""
    raw = gymnasium.make(f"ALE/{game}-v5", frameskip=1, repeat_action_probability=0.0)
    env = AtariPreprocessing(raw, noop_max=0, screen_size=size, grayscale_obs=grey)
    frame, info = env.reset(seed=0)
    rows = [(frame, 0.0, (False, False), info["lives"])]
    for action in actions:
        if any(rows[-1][2]):
            frame, info = env.reset()
            rows.append((frame, 0.0, (False, False), info["lives"]))
            continue
        frame, reward, *ends, info = env.step(action)
        rows.append((frame, reward, tuple(ends[:2]), info["lives"]))
    return tuple(np.array(column).reshape(len(rows), -1) for column in zip(*rows, strict=True))


def main(folder: Path) -> None:
    """All games in both formats: a row each."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "equality.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("game", "size", "grey", *(f"{n}" for n in Differences._fields)))
        for game in GAMES:
            for size, grey in FORMATS:
                found = compare(game, size, grey, STEPS)
                writer.writerow((game, size, grey, *found))
                file.flush()
                print(game, size, grey, found, flush=True)
    (folder / "env.txt").write_text(environment_info(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
