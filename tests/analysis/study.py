"""Run folders written by hand, as a training run leaves them."""

import copy
import functools
from pathlib import Path

from rlseq import config
from rlseq.train import logging


@functools.cache
def _composed(core: str) -> config.Config:
    return config.compose(["experiment=debug", f"core={core}"])


def write_run(folder: Path, env: str, returns: list[list[float]], **settings) -> Path:
    """A run with a list of evaluation returns for each of its seeds.

    `settings`: seed, preset, core (a name), step, lr.
    """
    own = copy.deepcopy(_composed(settings.get("core", "s5")))
    own.env.id, own.env.preset = env, settings.get("preset")
    own.seed, own.seeds = settings.get("seed", 0), max(1, len(returns))
    own.agent["lr"] = settings.get("lr", own.agent["lr"])
    step = settings.get("step", 400)
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config.to_yaml(own))
    (folder / "env.txt").write_text("started: 2026-11-24T20:00:00\ndevice kind: cpu\n")
    for index, played in enumerate(returns):
        seed = own.seed + index
        logging.append(folder / logging.METRICS, _metrics(seed, step, played))
        episodes = [
            {"step": step, "seed": seed, "slot": 0, "episode": k, "return": value, "length": 9}
            for k, value in enumerate(played)
        ]
        logging.append(folder / logging.EPISODES, episodes)
    return folder


def _metrics(seed: int, step: int, played: list[float]) -> list[logging.Row]:
    score = sum(played) / len(played)
    parts = (1, 2, 3, 4)
    return [
        {"step": step * k // 4, "seed": seed, "seconds": 1.5 * k, "return": score * k / 4}
        for k in parts
    ]
