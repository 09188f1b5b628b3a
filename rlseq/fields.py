"""Declared types and ranges of options, and the one check of a value against them.

An option says beside its name what it may be: `window: Annotated[int, Range(1, 4096)] = 4`. The
same declaration serves the command line, saved configurations and calls from Python.
"""

import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from numbers import Integral, Real
from typing import Annotated, Any, NamedTuple

from rlseq.errors import InputError, shown, unknown_name

INT32 = 2**31 - 1
FLOAT32 = 3.4028234e38
TINY = 1.1754944e-38


class Range(NamedTuple):
    """Numbers from `low` to `high`; `above` and `below` leave out the end itself."""

    low: float
    high: float
    above: bool = False
    below: bool = False

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.above else _plain(self.low)
        return f"{low} to {'below ' if self.below else ''}{_plain(self.high)}"

    def fault(self, value: float) -> str:
        """The bound that a value breaks, as "at least 1"; empty where it breaks none."""
        if value < self.low or (self.above and value == self.low):
            return f"{'above' if self.above else 'at least'} {_plain(self.low)}"
        if self.above and not self.low and value < TINY:
            return f"at least {TINY}, the least that float32 holds"
        if value > self.high or (self.below and value == self.high):
            return f"{'below' if self.below else 'at most'} {_plain(self.high)}"
        return ""


INT64 = Range(-(2**63), 2**63 - 1)


class OneOf(NamedTuple):
    """One of some names; a function returns those that are registered when the check runs.

    `noun` says in messages what is named, where the option's own name does not.
    """

    names: Iterable[str] | Callable[[], Iterable[str]]
    noun: str = ""

    def known(self) -> list[str]:
        """The names."""
        return list(self.names() if callable(self.names) else self.names)


class Text(NamedTuple):
    """Any text; its owner checks it."""


class Length(NamedTuple):
    """How many entries a list has; `Range` and `OneOf` beside it are of each."""

    low: int
    high: int


@dataclass(frozen=True)
class Declared:
    """What an annotation declares. `base` is bool, int, float, str or tuple; None for any other
    type, whose values only the owner checks."""

    base: type | None
    optional: bool = False
    range: Range | None = None
    names: OneOf | Text | None = None
    length: Length | None = None
    item: type | None = None

    def wanted(self) -> str:
        """In words, as "a whole number"."""
        words = {bool: "true or false", int: "a whole number", float: "a finite number"}
        if self.base is tuple:
            of = {int: "whole numbers", float: "finite numbers", str: "names"}
            text = f"a list of {of.get(self.item, 'values')}"  # type: ignore[arg-type]
            if isinstance(self.names, OneOf) and self.names.noun:
                text = f"names of {self.names.noun}s"
        else:
            text = words.get(self.base, "text")  # type: ignore[arg-type]
        return f"{text} or null" if self.optional else text

    def allowed(self) -> str:
        """Its bounds, in brackets behind a message; empty where there are none."""
        parts = [str(self.range)] if self.range else []
        if isinstance(self.names, OneOf):
            parts.append(", ".join(name or "''" for name in self.names.known()))
        if self.length:
            parts.append(f"{self.length.low} to {self.length.high} entries")
        return f" (allowed: {'; '.join(parts)})" if parts else ""


NumEnvs = Annotated[int, Range(1, 1_048_576)]  # environments side by side
Share = Annotated[float, Range(0, 1)]  # a probability, a discount, a part of a whole
Steps = Annotated[int, Range(1, INT32)]  # counted in int32 on the device
Episode = Annotated[int, Range(1, 1_000_000)]  # steps of an episode at most
Width = Annotated[int, Range(1, 16_384)]  # of a layer
Rollout = Annotated[int, Range(1, 1_000_000)]  # steps of every environment between updates
Epochs = Annotated[int, Range(1, 1000)]
Updates = Annotated[int, Range(1, 10_000)]  # after each time that an agent acted
Drawn = Annotated[int, Range(1, 1_000_000)]  # sequences of a replay, or their steps, in an update
BurnIn = Annotated[int, Range(0, 1_000_000)]  # steps of a sequence that only fill a memory
MinibatchCount = Annotated[int, Range(1, 65_536)]
LearningRate = Annotated[float, Range(0, 10, above=True)]
Warmup = Annotated[int, Range(0, INT32)]  # steps of an optimiser
Weight = Annotated[float, Range(0, 1e6)]  # of a loss; a bound that 0 turns off
GradNorm = Annotated[float, Range(0, 1e9, above=True)]
Clip = Annotated[float, Range(0, 100, above=True)]


def parse(annotation: Any) -> Declared:
    """What an annotation declares: `int`, `float | None`, `Annotated[tuple[int, ...], ...]`."""
    marks: dict[type, Any] = {}
    if typing.get_origin(annotation) is Annotated:
        annotation, *metadata = typing.get_args(annotation)
        marks = {type(mark): mark for mark in metadata}
    members = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = list(typing.get_args(annotation))
    optional = type(None) in members
    choices = [member for member in members if member is not type(None)]
    if len(choices) == 1 and typing.get_origin(choices[0]) is Annotated:
        return _optional(parse(choices[0]), optional)
    base = choices[0] if len(choices) == 1 else None
    item = None
    if typing.get_origin(base) in (tuple, list, Sequence):
        base, item = tuple, typing.get_args(base)[0]
    if base not in (bool, int, float, str, tuple):
        base = None
    names = marks.get(OneOf) or marks.get(Text)
    return Declared(base, optional, marks.get(Range), names, marks.get(Length), item)


def of(owner: Any) -> dict[str, Any]:
    """Option -> annotation of a dataclass, a NamedTuple, or what a class or function takes."""
    if is_dataclass(owner) or hasattr(owner, "_fields"):
        return typing.get_type_hints(owner, include_extras=True)
    call = owner.__init__ if isinstance(owner, type) else owner
    hints = typing.get_type_hints(call, include_extras=True)
    fixed = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(owner).parameters.items()
    return {name: hints.get(name, Any) for name, p in parameters if p.kind not in fixed}


def like(default: Any) -> Any:
    """The annotation of an option of which only the default is known, as other packages have
    them: its type, positive where a count is, and what 32 bits hold."""
    if isinstance(default, bool):
        return bool
    if isinstance(default, str):
        return Annotated[str | None, Text()]
    if isinstance(default, int):
        return Annotated[int, Range(1 if default > 0 else -INT32 - 1, INT32)]
    if isinstance(default, float):
        return Annotated[float, Range(-1e9, 1e9)]
    if isinstance(default, tuple) and all(isinstance(one, Real) for one in default):
        return Annotated[tuple[float, ...], Length(len(default), len(default)), Range(-1e9, 1e9)]
    return Any


def check(key: str, annotation: Any, value: Any) -> Any:
    """The value as the option takes it: floats for whole numbers where it holds floats, tuples
    for lists. Raises InputError that names the key, the value and what is allowed."""
    declared = parse(annotation)
    if declared.base is None or (value is None and declared.optional):
        return value
    if declared.base is tuple:
        return _checked_list(key, declared, value)
    return _checked_one(key, declared, declared.base, value, value)


def check_all(
    declared: Mapping[str, Any], values: Mapping[str, Any], prefix: str = ""
) -> dict[str, Any]:
    """All `values` as their options take them; `prefix` goes before each key in messages.

    Raises InputError for the first that does not fit. Names that are not declared pass.
    """
    return {
        name: check(f"{prefix}{name}", declared[name], value) if name in declared else value
        for name, value in values.items()
    }


def check_instance(options: Any, prefix: str) -> None:
    """`check_all` of a dataclass of options, for its `__post_init__`. Raises InputError."""
    declared = of(type(options))
    check_all(declared, {name: getattr(options, name) for name in declared}, prefix)


def whole(annotation: Any, value: Any) -> Any:
    """1e6, as people write a million, where whole numbers are wanted."""
    if parse(annotation).base is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _optional(declared: Declared, optional: bool) -> Declared:
    return Declared(**{**vars(declared), "optional": declared.optional or optional})


def _checked_list(key: str, declared: Declared, value: Any) -> tuple:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise _misfit(key, declared, value)
    entries = tuple(value)
    length = declared.length
    if length and not length.low <= len(entries) <= length.high:
        raise _misfit(key, declared, value)
    if declared.item not in (bool, int, float, str):
        return entries
    return tuple(_checked_one(key, declared, declared.item, entry, value) for entry in entries)


def _checked_one(key: str, declared: Declared, base: type, value: Any, entered: Any) -> Any:
    """One value, or one entry of the list `entered`, which messages show."""
    if base is str:
        return _checked_text(key, declared, value, entered)
    if not _is_of(base, value):
        raise _misfit(key, declared, entered)
    if base is bool:
        return value
    bounds = declared.range or (INT64 if base is int else Range(-FLOAT32, FLOAT32))
    if fault := bounds.fault(value):
        raise InputError(f"{key} must be {fault}, got {shown(entered)} (allowed: {bounds})")
    return base(value)


def _is_of(base: type, value: Any) -> bool:
    """NumPy's numbers are numbers, truth values are none, and floats are finite."""
    if base is bool or isinstance(value, bool):
        return base is bool and isinstance(value, bool)
    if isinstance(value, Integral):  # it may be too long for a float
        return True
    return base is float and isinstance(value, Real) and math.isfinite(value)


def _checked_text(key: str, declared: Declared, value: Any, entered: Any) -> str:
    if not isinstance(value, str):
        raise _misfit(key, declared, entered)
    names = declared.names
    if isinstance(names, OneOf) and value not in (known := names.known()):
        fault = unknown_name(names.noun or key, value, known)
        raise InputError(f"{key}: {fault}") if names.noun else fault
    return value


def _misfit(key: str, declared: Declared, value: Any) -> InputError:
    return InputError(f"{key} must be {declared.wanted()}, got {shown(value)}{declared.allowed()}")


def _plain(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"
