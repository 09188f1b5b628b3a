"""Published scores of Atari100k: one column an agent, and single runs where they are known.

The 26 games, 100k steps of the agent each (Kaiser et al. 1903.00374). Protocols differ in episodes,
no-ops and lives, so that gaps below 0.1 of the human-normalised mean are noise.
"""

import csv
import functools
import importlib.resources
from typing import NamedTuple

import numpy as np

from rlseq.envs.atari.scores import REFERENCES, human_normalised

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
    """Scores of one agent in the order of the G = 26 games; what was not published is None."""

    means: np.ndarray | None  # [G], the column of its paper
    runs: np.ndarray | None  # [G, S], final scores of single runs


@functools.cache
def published() -> dict[str, Published]:
    """Every agent with published scores."""
    table, runs = _rows("scores"), _rows("runs")
    found = {}
    for agent in SOURCES:
        means = [float(row[agent]) for row in table if agent in row]
        own = {row["Game"]: _numbers(row) for row in runs if row["Agent"] == agent}
        singles = np.array([own[game] for game in REFERENCES]) if own else None
        found[agent] = Published(np.array(means) if means else None, singles)
    return found


def normalised(table: np.ndarray) -> list[np.ndarray]:
    """Human-normalised scores, one group [S] a game, of raw ones [G] or [G, S] in game order."""
    rows = zip(REFERENCES, np.atleast_2d(table.T).T, strict=True)
    return [np.array([human_normalised(game, x) for x in row]) for game, row in rows]


def _rows(part: str) -> list[dict[str, str]]:
    file = importlib.resources.files("rlseq.analysis") / "data" / f"atari100k_{part}.csv"
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def _numbers(row: dict[str, str]) -> list[float]:
    return [float(value) for name, value in row.items() if name not in ("Agent", "Game")]
