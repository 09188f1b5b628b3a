"""Which episodes of a run make its score: those of one checkpoint, mode and protocol."""

from collections.abc import Sequence
from typing import NamedTuple

from rlseq.errors import InputError, check_names
from rlseq.train import logging, runs
from rlseq.train.episodes import MODES, SAMPLED, Evaluation, Protocol, evaluations
from rlseq.train.logging import Row


class Choice(NamedTuple):
    """Which evaluations a report uses."""

    mode: str = SAMPLED
    step: int | None = None  # of the checkpoint; None: the newest at which all seeds were played


NEWEST_SAMPLED = Choice()


class Chosen(NamedTuple):
    """The episodes of a run's score."""

    protocol: Protocol
    rows: dict[int, list[Row]]  # of each seed, none twice
    evaluations: dict[int, int]  # how many distinct ones each seed has in them
    left_out: int  # episodes of the same checkpoint and mode, in another protocol


def check_choice(choice: Choice) -> None:
    """Raise InputError for an unknown mode."""
    check_names("mode", [choice.mode], MODES)


def choose(run: runs.Run, choice: Choice) -> Chosen | None:
    """All distinct evaluations of one protocol; None where a seed has none of them.

    Of several numbers of environments or limits of steps at that checkpoint, the one with the
    most episodes is taken, the later one of equals.
    """
    seeds = seeds_of(run)
    rows = logging.read(run.folder / logging.EPISODES)
    asked = [e for e in evaluations(rows) if e.seed in seeds and e.protocol.mode == choice.mode]
    steps = set.intersection(
        *({e.protocol.step for e in asked if e.seed == seed} for seed in seeds)
    )
    step = max(steps, default=None) if choice.step is None else choice.step
    if step is None:
        return None
    asked = [e for e in asked if e.protocol.step == step]
    by_protocol: dict[Protocol, list[Evaluation]] = {}
    for evaluation in asked:
        by_protocol.setdefault(evaluation.protocol, []).append(evaluation)
    whole = [own for own in by_protocol.values() if {e.seed for e in own} == set(seeds)]
    if not whole:
        return None
    taken = max(reversed(whole), key=_episodes)
    return Chosen(
        taken[0].protocol,
        {seed: [row for e in taken if e.seed == seed for row in e.rows] for seed in seeds},
        {seed: sum(e.seed == seed for e in taken) for seed in seeds},
        _episodes(asked) - _episodes(taken),
    )


def missing(found: Sequence[runs.Run], choice: Choice) -> InputError:
    """The message about runs without the requested evaluation."""
    named = ", ".join(f"{str(run.folder)!r} ({_has(run)})" for run in found)
    at = f" at step {choice.step}" if choice.step is not None else ""
    return InputError(
        f"no {choice.mode} evaluation episodes of every seed{at} in {named}: finish these with "
        "`rlseq resume RUN`, play them with `rlseq eval RUN` (with --greedy for --mode greedy, "
        "--checkpoint for --checkpoint), ask for what they have, or leave them out"
    )


def seeds_of(run: runs.Run) -> range:
    """The seeds of a run."""
    return range(run.config.seed, run.config.seed + run.config.seeds)


def _has(run: runs.Run) -> str:
    """The evaluations of a run, as `--mode` and `--checkpoint` name them."""
    found = evaluations(logging.read(run.folder / logging.EPISODES))
    own = {(e.seed, e.protocol.mode, e.protocol.step) for e in found}
    parts = [f"seed {seed} {mode} at {step}" for seed, mode, step in sorted(own)]
    return "; ".join(parts) or "none at all"


def _episodes(found: Sequence[Evaluation]) -> int:
    return sum(len(evaluation.rows) for evaluation in found)
