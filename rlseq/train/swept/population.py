"""Population-based training (Jaderberg et al. 1711.09846) of the settings of a sweep.

Every few chunks the worst settings go on with the state of one of the best and with its
hyper-parameters, each a little changed. Each seed is a population of its own.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlseq import fields
from rlseq.agents import agent_config
from rlseq.errors import InputError
from rlseq.train import files, leaves, logging
from rlseq.train.rows import Row
from rlseq.train.swept.agent import SweptState
from rlseq.train.swept.space import Pbt

FILE = "population.jsonl"  # in the folder of the sweep: who went on as whom


class Round(NamedTuple):
    """What one round decides, [H, S]: settings and seeds."""

    source: np.ndarray  # int, the setting whose state each goes on with
    values: dict[str, np.ndarray]  # float32, of each hyper-parameter from now on


def decide(
    pbt: Pbt,
    agent: str,
    scores: np.ndarray,
    values: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> Round:
    """Who goes on as whom, from scores and values [H, S]; NaN, an unknown score, is the worst.

    A seed without two known and different scores stays as it is.
    """
    settings, seeds = scores.shape
    source = np.tile(np.arange(settings)[:, None], (1, seeds))
    new = {name: own.copy() for name, own in values.items()}
    count = max(1, int(settings * pbt.share))
    for seed in range(seeds):
        ranked = np.argsort(np.nan_to_num(scores[:, seed], nan=-np.inf), kind="stable")
        known = scores[:, seed][np.isfinite(scores[:, seed])]
        if len(np.unique(known)) < 2:
            continue
        for worst in ranked[:count]:
            best = rng.choice(ranked[-count:])
            source[worst, seed] = best
            for name, own in values.items():
                factor = pbt.factor if rng.random() < 0.5 else 1 / pbt.factor
                new[name][worst, seed] = _within(agent, name, own[best, seed] * factor)
    return Round(source, new)


def apply(state: SweptState, decided: Round) -> SweptState:
    """States [H x S, ...] after a round; random keys stay, so that copies act differently."""
    seeds = decided.source.shape[1]
    rows = jnp.asarray((decided.source * seeds + np.arange(seeds)).reshape(-1))

    def taken(leaf: jax.Array) -> jax.Array:
        return leaf if leaves.is_key(leaf) else leaf[rows]

    values = {name: jnp.asarray(own.reshape(-1)) for name, own in decided.values.items()}
    return SweptState(values, jax.tree.map(taken, state.inner))


def scores_since(folders: Sequence[Path], seeds: Sequence[int], step: int) -> np.ndarray:
    """[H, S]: the mean return of training episodes after `step`, by the logs; NaN without any."""
    logs = [_by_seed(folder, seeds, step) for folder in folders]
    return np.array([[_score(rows) for rows in log] for log in logs])


def last_values(
    folders: Sequence[Path], seeds: Sequence[int], names: Sequence[str]
) -> dict[str, np.ndarray] | None:
    """float32 [H, S] of each hyper-parameter as the logs end; None before the first row."""
    logs = [_by_seed(folder, seeds, 0) for folder in folders]
    if not all(rows for log in logs for rows in log):
        return None
    return {
        name: np.array([[rows[-1][key(name)] for rows in log] for log in logs], np.float32)
        for name in names
    }


def key(name: str) -> str:
    """What a hyper-parameter is called in `metrics.jsonl`."""
    return f"agent.{name}"


def record(folder: Path, names: Sequence[str], step: int, first_seed: int, decided: Round) -> None:
    """Add what a round changed to the file of the sweep, a line each. Raises CannotWrite."""
    lines: list[Row] = []
    for setting, seed in zip(*np.nonzero(decided.source != _own(decided)), strict=True):
        source = int(decided.source[setting, seed])
        values = {key(name): float(own[setting, seed]) for name, own in decided.values.items()}
        moved = {"setting": names[setting], "continues": names[source]}
        lines.append({"step": step, "seed": first_seed + int(seed), **moved, **values})
    logging.append(folder / FILE, lines)


def truncate_before(folder: Path, step: int) -> None:
    """Keep rounds before `step` alone: a sweep that goes on decides the others once more.

    Raises InputError for a damaged file, and CannotWrite.
    """
    path = folder / FILE
    if path.exists():
        kept = [line for line in path.read_text().splitlines() if _step_of(line) < step]
        files.write_atomic(path, "".join(f"{line}\n" for line in kept))


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{FILE} is damaged: {line[:80]!r}") from error


def _own(decided: Round) -> np.ndarray:
    return np.arange(decided.source.shape[0])[:, None]


def _by_seed(folder: Path, seeds: Sequence[int], after: int) -> list[list[Row]]:
    """The rows of a run after a step, of each seed."""
    rows = [row for row in logging.read(folder / logging.METRICS) if row["step"] > after]
    return [[row for row in rows if row["seed"] == seed] for seed in seeds]


def _score(rows: list[Row]) -> float:
    known = [row for row in rows if row["return"] is not None]
    weight = sum(row["episodes"] for row in known)
    return sum(row["return"] * row["episodes"] for row in known) / weight if weight else np.nan


def _within(agent: str, name: str, value: float) -> float:
    bounds = fields.parse(fields.of(agent_config(agent))[name]).range
    return float(np.clip(value, bounds.low, bounds.high)) if bounds else float(value)
