"""What a search varies, by Hydra's syntax of sweeps: `agent.lr=tag(log,interval(1e-5,1e-3))`."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    RangeSweep,
)

from rlseq import config as configuration
from rlseq import overrides
from rlseq.config import Config
from rlseq.errors import InputError
from rlseq.train.campaign import plan
from rlseq.train.search.package import optuna

_ELSEWHERE = {"run.dir": "--root", "run.root": "--root"}
_INSIDE = 0.382  # a place within an interval that is no whole number


class Space(NamedTuple):
    """Words of every trial, and what the keys of a search are drawn from."""

    fixed: list[str]
    distributions: dict[str, Any]  # Optuna's distributions

    def words(self, values: dict[str, Any]) -> list[str]:
        """The command line of a trial with these values."""
        return [*self.fixed, *(f"{key}={value}" for key, value in values.items())]


def read(words: Sequence[str]) -> Space:
    """The space of a command line, every end and choice of it composed once.

    Raises InputError for words without a sweep, sweeps of keys that change nothing that is
    learned or of seeds, and as `config.compose`.
    """
    plan.refuse(words, _ELSEWHERE)
    split = overrides.split(list(words))
    fixed = [word for word in words if word.partition("=")[0] in split.paths]
    keys = {}
    for one, word in zip(overrides.parse(split.hydra), split.hydra, strict=True):
        if one.is_sweep_override():
            keys[one.key_or_group] = _distribution(one)
        else:
            fixed.append(word.removeprefix("++"))
    if not keys:
        raise InputError(
            "nothing to search: give a key several values, as core=s5,gru or "
            "'agent.lr=tag(log,interval(1e-5,1e-3))'"
        )
    return Space(plan.saving_every_chunk(fixed), keys)


def check(space: Space) -> Config:
    """Compose every choice and end of each key; the first configuration. Raises InputError."""
    values = {key: list(_some(one)) for key, one in space.distributions.items()}
    first = {key: some[0] for key, some in values.items()}
    config = configuration.compose(space.words(first))
    for key, some in values.items():
        for value in some[1:]:
            configuration.compose(space.words(first | {key: value}))
    if not config.run.eval_episodes:
        raise InputError("a search compares evaluations after training: run.eval_episodes is 0")
    return config


def _some(distribution: Any) -> Iterator[Any]:
    if hasattr(distribution, "choices"):
        yield from distribution.choices
        return
    yield distribution.low
    yield distribution.high
    if distribution.step is None:
        yield distribution.low + _INSIDE * (distribution.high - distribution.low)


def _distribution(one: Override) -> Any:
    key, value = one.key_or_group, one.value()
    if key in ("seed", "seeds") or key.startswith(("run.", "hydra.", "hydra/")):
        raise InputError(f"a search does not vary {key}: it is no hyper-parameter")
    log = "log" in getattr(value, "tags", ())
    try:
        match value:
            case IntervalSweep(start=low, end=high) if isinstance(low, int):
                return optuna().distributions.IntDistribution(low, high, log=log)
            case IntervalSweep(start=low, end=high):
                return optuna().distributions.FloatDistribution(low, high, log=log)
            case RangeSweep():
                return _range(value, log)
            case ChoiceSweep():
                found = tuple(one.sweep_string_iterator())
                return optuna().distributions.CategoricalDistribution(found)
            case Glob():
                raise ValueError("glob is of files; name the values")
    except ValueError as error:  # of Optuna: ends in the wrong order, log from 0
        raise InputError(f"{one.input_line}: {error}") from error
    raise InputError(f"{one.input_line} is not understood by a search")


def _range(value: RangeSweep, log: bool) -> Any:
    """The last value of a range is below its stop, as in Python."""
    step = value.step or 1
    numbers = list(value.range())
    if len(numbers) < 2 or step <= 0:
        raise ValueError("a range goes up and has two values or more")
    whole = all(isinstance(number, int) for number in (*numbers, step))
    kinds = optuna().distributions
    make = kinds.IntDistribution if whole else kinds.FloatDistribution
    if log and not whole:
        raise ValueError("log and a step do not go together; write interval")
    return make(numbers[0], numbers[-1], log=log, step=step)
