"""`episodes.jsonl`: which evaluation each row belongs to, so that no episode counts twice.

A row holds of its evaluation: `evaluation`, its number in the file; `step` of the checkpoint;
`mode`, sampled or greedy; `num_envs`; `max_steps` of an episode; `eval_seed`, the seed of the
episodes: 0 after training, another for every later evaluation. And of itself: `seed`, `slot`,
`episode`, `return`, `length`, whether it was `cut`, and a checksum of its `trajectory`.

Older rows lack what was not written then. They are sampled unless `greedy` says otherwise, and
all have the seed of evaluation 0, which all of them used; an evaluation ends where slot and
episode start again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlseq.train.logging import Row
from rlseq.train.play import Episodes
from rlseq.types import Reference

SAMPLED, GREEDY = MODES = ("sampled", "greedy")


_ABOUT = {"evaluation", "step", "mode", "num_envs", "max_steps", "eval_seed"}


class Protocol(NamedTuple):
    """How episodes were played; only those of one protocol make one score."""

    step: int  # of the checkpoint
    mode: str
    num_envs: int
    max_steps: int | None  # of an episode; None in older rows: without a limit


class Evaluation(NamedTuple):
    """Episodes of one seed and one seed of evaluation; playing these two again repeats them."""

    seed: int
    protocol: Protocol
    eval_seed: int
    rows: list[Row]  # one for every slot and episode


def rows_of(
    number: int,
    protocol: Protocol,
    eval_seed: int,
    seeds: Sequence[int],
    played: Episodes,
    reference: Reference | None = None,
) -> list[Row]:
    """One row an episode; `seeds` are those of the first axis.

    `human_normalised` is there where the environment knows a human's score.
    """
    about = {"evaluation": number, **protocol._asdict(), "eval_seed": eval_seed}
    return [
        about
        | {
            "seed": seeds[s],
            "slot": slot,
            "episode": k,
            "return": float(value),
            "length": int(played.lengths[s, slot, k]),
            "cut": bool(played.cut[s, slot, k]),
            "trajectory": int(played.trajectories[s, slot, k]),
        }
        | ({"human_normalised": float(reference.normalised(value))} if reference else {})
        for (s, slot, k), value in np.ndenumerate(played.returns)
    ]


def evaluations(rows: Sequence[Row]) -> list[Evaluation]:
    """The evaluations that rows belong to, in the order in which they first come.

    Rows of the same seeds and protocol are one evaluation. A repeated episode counts once, as it
    was written first.
    """
    pieces = [
        (_older_evaluation(own), own) for own in _older([row for row in rows if _is_older(row)])
    ]
    pieces += [(_evaluation_of(row), [row]) for row in rows if not _is_older(row)]
    found: dict[tuple[int, Protocol, int], dict[tuple[int, int], Row]] = {}
    for key, own in pieces:
        episodes = found.setdefault(key, {})
        for row in own:
            episodes.setdefault(_episode_of(row), row)
    return [Evaluation(*key, list(episodes.values())) for key, episodes in found.items()]


def own_evaluation(rows: Sequence[Row], step: int, seed: int) -> int:
    """How many episodes of a seed there are of the evaluation after training to `step`."""
    found = (e for e in evaluations(rows) if (e.protocol.step, e.seed) == (step, seed))
    after = [e for e in found if e.protocol.mode == SAMPLED and e.eval_seed == 0]
    return max((len(e.rows) for e in after), default=0)


def after_training(rows: Sequence[Row], step: int | None = None) -> list[Row]:
    """The episodes of all seeds of the evaluation after training to `step`, by default the last."""
    found = [e for e in evaluations(rows) if e.protocol.mode == SAMPLED and e.eval_seed == 0]
    if step is None:
        step = max((one.protocol.step for one in found), default=None)
    return [row for one in found if one.protocol.step == step for row in one.rows]


def next_number(rows: Sequence[Row]) -> int:
    """The number of the next evaluation."""
    return 1 + max((row.get("evaluation", 0) for row in rows), default=-1)


def next_eval_seed(rows: Sequence[Row]) -> int:
    """The first seed of evaluation above all in the rows; 0 is the one after training."""
    return 1 + max((row.get("eval_seed", 0) for row in rows), default=0)


def is_new(before: Sequence[Row], rows: Sequence[Row]) -> bool:
    """Whether any of the rows of one evaluation adds an episode to those before."""
    held = {(*e[:3], _episode_of(row)) for e in evaluations(before) for row in e.rows}
    return any((*_evaluation_of(row), _episode_of(row)) not in held for row in rows)


def distinct(rows: Sequence[Row]) -> int | None:
    """How many different trajectories there are; None where a row has no checksum."""
    known = [row.get("trajectory") for row in rows]
    return None if None in known else len(set(known))


def _is_older(row: Row) -> bool:
    return not row.keys() >= _ABOUT


def _episode_of(row: Row) -> tuple[int, int]:
    return row["slot"], row["episode"]


def _evaluation_of(row: Row) -> tuple[int, Protocol, int]:
    return row["seed"], Protocol(*(row[key] for key in Protocol._fields)), row["eval_seed"]


def _older(rows: Sequence[Row]) -> list[list[Row]]:
    """Older rows of one seed that follow each other as one evaluation writes them."""
    pieces: list[list[Row]] = []
    newest: dict[int, list[Row]] = {}
    for row in rows:
        own = newest.get(row["seed"])
        if own is None or not _follows(own[-1], row):
            own = newest[row["seed"]] = []
            pieces.append(own)
        own.append(row)
    return pieces


def _follows(before: Row, row: Row) -> bool:
    alike = (before["step"], _older_mode(before)) == (row["step"], _older_mode(row))
    return alike and _episode_of(before) < _episode_of(row)


def _older_evaluation(own: Sequence[Row]) -> tuple[int, Protocol, int]:
    slots = 1 + max(row["slot"] for row in own)
    return own[0]["seed"], Protocol(own[0]["step"], _older_mode(own[0]), slots, None), 0


def _older_mode(row: Row) -> str:
    return GREEDY if row.get("greedy") else SAMPLED
