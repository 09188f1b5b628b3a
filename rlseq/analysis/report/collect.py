"""Read run folders: one score for each game and seed, checked for fair comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlseq.analysis.report.methods import method_names
from rlseq.analysis.report.protocols import (
    NEWEST_SAMPLED,
    Choice,
    Chosen,
    check_choice,
    choose,
    missing,
)
from rlseq.envs.atari.scores import REFERENCES, human_normalised
from rlseq.errors import InputError
from rlseq.train import runs
from rlseq.train.episodes import distinct
from rlseq.train.summary import standard_error


class Score(NamedTuple):
    """One seed in one environment: all distinct episodes of one protocol."""

    method: str
    env: str
    seed: int
    step: int
    mode: str
    num_envs: int
    max_steps: int | None  # None: older episodes, without a limit
    evaluations: int
    episodes: int
    distinct: int | None  # trajectories; None: older episodes, which have no checksum
    cut: int  # episodes that came to max_steps
    mean_return: float
    standard_error: float  # over episodes; NaN for one, or one trajectory
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
    choice: Choice
    left_out: dict[Path, int]  # episodes of the requested mode in another protocol, by folder


def collect(paths: Sequence[str | Path], choice: Choice = NEWEST_SAMPLED) -> Study:
    """Read run folders, or folders of run folders.

    Raises InputError for a folder that is no run and holds none, an unknown mode, a seed without
    evaluation episodes as asked, presets that differ within a family, and one seed of one game
    that is there twice.
    """
    check_choice(choice)
    unique = runs.open_runs(paths)
    if not unique:
        raise InputError("no run to report on")
    _check_presets(unique)
    played = _played(unique, choice)
    methods = method_names([run.config for run in unique])
    named = zip(unique, methods, played, strict=True)
    scores = [
        _score(run, name, seed, chosen) for run, name, chosen in named for seed in chosen.rows
    ]
    _check_twice(scores)
    scores.sort(key=lambda score: (score.env, score.method, score.seed))
    left_out = {run.folder: one.left_out for run, one in zip(unique, played, strict=True)}
    return Study(unique, methods, scores, choice, left_out)


def family(env: str) -> str:
    """The first part of an environment's id; of a plug-in's file without its folders."""
    return Path(env.split(":")[0]).name


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


def _played(found: Sequence[runs.Run], choice: Choice) -> list[Chosen]:
    chosen = [choose(run, choice) for run in found]
    bare = [run for run, one in zip(found, chosen, strict=True) if one is None]
    if bare:
        raise missing(bare, choice)
    return [one for one in chosen if one is not None]


def _score(run: runs.Run, method: str, seed: int, chosen: Chosen) -> Score:
    rows = chosen.rows[seed]
    returns = np.array([row["return"] for row in rows], np.float64)
    env, different = run.config.env.id, distinct(rows)
    mean = float(returns.mean())
    game = env.removeprefix("atari:")
    known = family(env) == "atari" and game in REFERENCES
    return Score(
        method=method,
        env=env,
        seed=seed,
        **chosen.protocol._asdict(),
        evaluations=chosen.evaluations[seed],
        episodes=len(rows),
        distinct=different,
        cut=sum(row.get("cut", False) for row in rows),
        mean_return=mean,
        standard_error=float("nan") if different == 1 else standard_error(returns),
        mean_length=float(np.mean([row["length"] for row in rows])),
        human_normalised=human_normalised(game, mean) if known else float("nan"),
        folder=run.folder,
    )
