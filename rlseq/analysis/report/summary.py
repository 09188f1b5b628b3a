"""Aggregates of a study: per game, over games, and profiles, beside what was published."""

from typing import NamedTuple

import numpy as np

from rlseq.analysis import atari_scores, scores
from rlseq.analysis.report.collect import Score, family
from rlseq.analysis.scores import Estimate, Groups
from rlseq.envs.atari.scores import REFERENCES

# Families whose scores are on one scale in every game, and the thresholds their profiles run over.
SCALES = {"atari": "human-normalised score", "popgym": "mean return"}
_THRESHOLDS = {"atari": np.linspace(0, 3, 151), "popgym": np.linspace(-1, 1, 101)}


class Game(NamedTuple):
    """One method in one game."""

    method: str
    env: str
    seeds: int
    returns: Estimate  # the mean over seeds of mean returns, Student's t interval
    scaled: Estimate  # on the family's scale; of raw returns where it has none


class Overall(NamedTuple):
    """One method over the games that all methods of a family have played."""

    name: str
    games: int
    runs: int  # 0: of published means, without single runs
    measures: dict[str, Estimate]  # what is not known is NaN
    groups: Groups  # [S] a game, normalised


class Family(NamedTuple):
    """The results of one family of environments."""

    name: str
    scale: str | None
    methods: list[str]
    envs: list[str]
    common: list[str]  # environments that every method has played
    games: list[Game]
    overall: list[Overall]  # ours; none without a scale
    published: list[Overall]


def summarise(found: list[Score]) -> list[Family]:
    """One summary a family, in the order of their names."""
    names = sorted({family(score.env) for score in found})
    return [_family(name, [s for s in found if family(s.env) == name]) for name in names]


def thresholds(name: str) -> np.ndarray:
    """Where a family's performance profile is taken, [N]."""
    return _THRESHOLDS[name]


def _family(name: str, found: list[Score]) -> Family:
    methods, envs = sorted({s.method for s in found}), sorted({s.env for s in found})
    played = {(s.method, s.env) for s in found}
    common = [env for env in envs if all((method, env) in played for method in methods)]
    scaled = name in SCALES and bool(common)
    ours = [_overall(method, common, found) for method in methods] if scaled else []
    return Family(
        name=name,
        scale=SCALES.get(name),
        methods=methods,
        envs=envs,
        common=common,
        games=[_game(method, env, found) for env in envs for method in methods
               if (method, env) in played],
        overall=ours,
        published=_published(common) if scaled and name == "atari" else [],
    )  # fmt: skip


def _game(method: str, env: str, found: list[Score]) -> Game:
    own = [score for score in found if (score.method, score.env) == (method, env)]
    raw = np.array([score.mean_return for score in own])
    scaled = np.array([score.scaled for score in own])
    return Game(method, env, len(own), scores.mean_interval(raw), scores.mean_interval(scaled))


def _overall(method: str, common: list[str], found: list[Score]) -> Overall:
    own = [score for score in found if score.method == method]
    groups = [np.array([s.scaled for s in own if s.env == env]) for env in common]
    return Overall(method, len(common), sum(map(len, groups)), scores.aggregate(groups), groups)


def _published(common: list[str]) -> list[Overall]:
    """Published agents on the same games: of single runs where known, else of their means."""
    names = [env.removeprefix("atari:") for env in common]
    chosen = [index for index, game in enumerate(REFERENCES) if game in names]
    rows = []
    for agent, (means, runs) in atari_scores.published().items():
        table = means if runs is None else runs
        assert table is not None
        groups = [atari_scores.normalised(table)[index] for index in chosen]
        if runs is None:
            rows.append(Overall(agent, len(groups), 0, _of_means(groups), groups))
        else:
            measures = scores.aggregate(groups)
            rows.append(Overall(agent, len(groups), sum(map(len, groups)), measures, groups))
    return rows


def _of_means(groups: Groups) -> dict[str, Estimate]:
    """Mean and median; the others are measures of runs, and those of means are no substitute."""
    nan = np.array(np.nan)
    known = {"mean": scores.mean(groups), "median": scores.median(groups)}
    return {name: Estimate(known.get(name, nan), nan, nan) for name in scores.MEASURES}
