"""What run folders say of themselves: one score a game and seed, checked for fair comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlseq.analysis.report.methods import method_names
from rlseq.envs.atari.scores import REFERENCES, human_normalised
from rlseq.errors import InputError
from rlseq.train import logging, runs


class Score(NamedTuple):
    """The newest evaluation of one seed in one environment."""

    method: str
    env: str
    seed: int
    step: int
    episodes: int
    mean_return: float
    standard_error: float  # over episodes; NaN for a single one
    mean_length: float
    human_normalised: float  # NaN outside the 26 Atari games
    folder: Path

    @property
    def scaled(self) -> float:
        """What may be averaged over games: human-normalised in Atari, elsewhere the return."""
        return self.human_normalised if family(self.env) == "atari" else self.mean_return


class Study(NamedTuple):
    """Runs that may be compared, and their scores in order of environment, method and seed."""

    runs: list[runs.Run]
    methods: list[str]  # of each run
    scores: list[Score]


def collect(paths: Sequence[str | Path]) -> Study:
    """Read run folders, or folders of run folders.

    Raises InputError for a folder that is no run and holds none, a seed without evaluation
    episodes, presets that differ within a family, and one seed of one game given twice.
    """
    opened = [run for path in paths for run in _open(Path(path))]
    if not opened:
        raise InputError("no run given to report on")
    unique = list({run.folder.resolve(): run for run in opened}.values())
    _check_presets(unique)
    _check_played(unique)
    methods = method_names([run.config for run in unique])
    named = zip(unique, methods, strict=True)
    scores = [score for run, name in named for score in _read(run, name)]
    _check_twice(scores)
    scores.sort(key=lambda score: (score.env, score.method, score.seed))
    return Study(unique, methods, scores)


def family(env: str) -> str:
    """The first part of an environment's id."""
    return env.split(":")[0]


def _open(path: Path) -> list[runs.Run]:
    inside = sorted(file.parent for file in path.glob(f"*/{runs.CONFIG_FILE}"))
    if inside and not (path / runs.CONFIG_FILE).exists():
        return [runs.open_run(folder) for folder in inside]
    return [runs.open_run(path)]


def _check_presets(found: Sequence[runs.Run]) -> None:
    first: dict[str, runs.Run] = {}
    for run in found:
        env = run.config.env
        other = first.setdefault(family(env.id), run)
        if env.preset != other.config.env.preset:
            named = " and ".join(
                f"{one.config.env.preset or 'the default'} in {str(one.folder)!r}"
                for one in (other, run)
            )
            raise InputError(
                f"scores of different presets are not comparable: env.preset is {named}"
            )


def _check_twice(scores: Sequence[Score]) -> None:
    seen: dict[tuple[str, str, int], Score] = {}
    for score in scores:
        other = seen.setdefault((score.method, score.env, score.seed), score)
        if other is not score:
            raise InputError(
                f"seed {score.seed} of {score.env} by {score.method} is in two runs, "
                f"{str(other.folder)!r} and {str(score.folder)!r}: leave one out"
            )


def _check_played(found: Sequence[runs.Run]) -> None:
    bare = [
        (run.folder, seed)
        for run in found
        for seed in _seeds(run)
        if not any(row["seed"] == seed for row in logging.read(run.folder / logging.EPISODES))
    ]
    if bare:
        named = ", ".join(f"{str(folder)!r} (seed {seed})" for folder, seed in bare)
        raise InputError(
            f"no evaluation episodes in {named}: finish these with `rlseq resume RUN`, play their "
            "newest checkpoints with `rlseq eval RUN`, or leave them out"
        )


def _read(run: runs.Run, method: str) -> list[Score]:
    rows = logging.read(run.folder / logging.EPISODES)
    return [
        _score(run, method, [row for row in rows if row["seed"] == seed]) for seed in _seeds(run)
    ]


def _seeds(run: runs.Run) -> range:
    return range(run.config.seed, run.config.seed + run.config.seeds)


def _score(run: runs.Run, method: str, rows: list[logging.Row]) -> Score:
    step = max(row["step"] for row in rows)
    newest = [row for row in rows if row["step"] == step]
    returns = np.array([row["return"] for row in newest], np.float64)
    env, count = run.config.env.id, len(newest)
    mean = float(returns.mean())
    game = env.removeprefix("atari:")
    known = family(env) == "atari" and game in REFERENCES
    return Score(
        method=method,
        env=env,
        seed=newest[0]["seed"],
        step=step,
        episodes=count,
        mean_return=mean,
        standard_error=float(returns.std(ddof=1) / count**0.5) if count > 1 else float("nan"),
        mean_length=float(np.mean([row["length"] for row in newest])),
        human_normalised=human_normalised(game, mean) if known else float("nan"),
        folder=run.folder,
    )
