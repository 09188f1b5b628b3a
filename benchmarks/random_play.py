"""Episodes of uniformly random actions beside those of runs: `random_play.py RUN...`.

RUN/random.jsonl gets rows as those of RUN/episodes.jsonl, played in the environment and by the
protocol of the run's own evaluation after training: as many environments, whole episodes, raw
rewards; `step` is 0. Files that are there are kept.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import jax

from rlseq.analysis.bench.envs import random_actions
from rlseq.config import Config
from rlseq.train import build, episodes, logging, runs
from rlseq.train.play import evaluate, longest_episode
from rlseq.types import VecEnv

FILE = "random.jsonl"


class Uniform:
    """A policy without memory or parameters; continuous actions are uniform in their Box."""

    def __init__(self, env: VecEnv):
        self.env = env

    def init_carry(self, batch: int) -> None:
        """Nothing is kept."""

    def act(
        self, params: Any, carry: None, obs: Any, reset: Any, key: jax.Array, *, greedy: bool
    ) -> tuple[None, jax.Array]:
        """(None, actions [E, ...])."""
        return None, random_actions(self.env.spec.action_space, key, self.env.num_envs)


def play(config: Config) -> list[logging.Row]:
    """About `run.eval_episodes` episodes of the first seed, as rows of `episodes.jsonl`."""
    count = config.run.eval_episodes
    slots = min(config.env.num_envs, count)
    env = build.make_env(config.env, slots, evaluation=True)
    agent: Any = Uniform(env)
    played = evaluate(agent, (), env, build.seed_keys(config)[:1], -(-count // slots))
    protocol = episodes.Protocol(0, episodes.SAMPLED, slots, longest_episode(env))
    return episodes.rows_of(0, protocol, 0, [config.seed], played)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    for folder in parser.parse_args().runs:
        if not (folder / FILE).exists():
            rows = play(runs.open_run(folder).config)
            logging.append(folder / FILE, rows)
            mean = statistics.mean(row["return"] for row in rows)
            print(f"{folder}: mean return {mean:.4g} of {len(rows)} episodes", flush=True)


if __name__ == "__main__":
    main()
