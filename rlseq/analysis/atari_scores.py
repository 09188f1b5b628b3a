"""Published scores of Atari100k: random and human play, one column an agent, runs where known.

The 26 games, 100k steps of the agent each (Kaiser et al. 1903.00374). Random and human play are
the constants, with one decimal, of the score files of IRIS and Simulus. Protocols differ in
episodes, no-ops and lives, so that gaps below 0.1 of the human-normalised mean are noise.
"""

import csv
import functools
import importlib.resources
from typing import NamedTuple

import numpy as np

from rlseq.errors import unknown_name

# Agent -> where its column and, below "runs", its single runs were published.
SOURCES = {
    "SimPLe": "Kaiser et al. 1903.00374; runs: github.com/eloialonso/iris, results/data",
    "SPR": "Schwarzer et al. 2007.05929, as github.com/realwenlongwang/drama lists it",
    "TWM": "Robine et al. 2303.07109; runs: github.com/leor-c/Simulus, results/data/atari",
    "IRIS": "Micheli et al. 2209.00588; runs: github.com/eloialonso/iris, results/data",
    "DreamerV3": "Hafner et al. 2025 (Nature), as github.com/realwenlongwang/drama lists it",
    "STORM": "Zhang et al. 2310.09615; its Freeway learned from a demonstration",
    "STORM without demo": "runs: github.com/weipu-zhang/STORM, results/storm.json",
    "Drama_XS": "Wang et al. 2410.08893, mean of its runs; single runs are not published",
    "delta-IRIS": "Micheli et al. 2406.19320; runs: github.com/vmicheli/delta-iris, results",
    "DIAMOND": "Alonso et al. 2405.12399; runs: github.com/eloialonso/diamond, results/data",
    "HarmonyDream": "Ma et al. 2310.00344; runs: github.com/thuml/HarmonyDream, scores",
    "TWISTER": "Burchi and Timofte 2503.04416, mean of its runs",
    "EDELINE": "Lee et al. 2502.00466, mean of its runs",
    "Simulus": "Cohen et al. 2502.11537; runs: github.com/leor-c/Simulus, results/data/atari",
}


class Published(NamedTuple):
    """Scores of one agent in game order; what was not published is None."""

    means: np.ndarray | None  # [26], the column of its paper
    runs: np.ndarray | None  # [26, S], final scores of single runs


@functools.cache
def constants() -> dict[str, tuple[float, float]]:
    """Game -> mean score of (random, human) play, in the order of the 26 games."""
    return {row["Game"]: (float(row["Random"]), float(row["Human"])) for row in _rows("scores")}


@functools.cache
def published() -> dict[str, Published]:
    """Every agent with published scores."""
    games, table, runs = list(constants()), _rows("scores"), _rows("runs")
    found = {}
    for agent in SOURCES:
        means = [float(row[agent]) for row in table if agent in row]
        own = {row["Game"]: _numbers(row) for row in runs if row["Agent"] == agent}
        singles = np.array([own[game] for game in games]) if own else None
        found[agent] = Published(np.array(means) if means else None, singles)
    return found


def human_normalised(game: str, score: np.ndarray | float) -> np.ndarray:
    """(score - random) / (human - random): 0 is random play, 1 a human's.

    Args:
        game: one of the 26, "KungFuMaster", also with its family, "atari:KungFuMaster".
        score: undiscounted and unclipped returns of whole games, any shape.

    Raises InputError for another game.
    """
    name = game.removeprefix("atari:")
    if name not in constants():
        raise unknown_name("Atari100k game", name, constants())
    random, human = constants()[name]
    return (np.asarray(score, np.float64) - random) / (human - random)


def _rows(kind: str) -> list[dict[str, str]]:
    file = importlib.resources.files("rlseq.analysis") / "data" / f"atari100k_{kind}.csv"
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def _numbers(row: dict[str, str]) -> list[float]:
    return [float(value) for name, value in row.items() if name not in ("Agent", "Game")]
