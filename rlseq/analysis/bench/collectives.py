"""How much a compiled program exchanges between devices, read off its text."""

import re
from typing import NamedTuple

_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) .*\{$")
_KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
_RESULT = re.compile(rf" = (.*?) (?:{_KINDS})(?:-start)?\(")
_CALLED = re.compile(r"(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_ARRAY = re.compile(r"\b(?:pred|[a-z]+?(\d+)\w*)\[([\d,]*)\]")


class Exchanged(NamedTuple):
    """Of one run of a program, per device."""

    bytes: int  # of the results of collectives
    count: int  # of collectives


def exchanged(text: str) -> Exchanged:
    """What the HLO text of a compiled program exchanges, loops as often as they run.

    A loop whose number of rounds XLA does not know counts once.
    """
    own, calls = _read(text)
    entry = re.search(r"^ENTRY %?([\w.-]+)", text, re.MULTILINE)
    return _total(entry[1], own, calls) if entry else Exchanged(0, 0)


def _read(text: str) -> tuple[dict[str, Exchanged], dict[str, list[tuple[str, int]]]]:
    """Of each computation what it exchanges itself, and what it calls how often."""
    own: dict[str, Exchanged] = {}
    calls: dict[str, list[tuple[str, int]]] = {}
    name = ""
    for line in text.splitlines():
        if found := _COMPUTATION.match(line):
            name = found[1]
            own[name], calls[name] = Exchanged(0, 0), []
        elif name and " = " in line:
            if found := _RESULT.search(line):
                so_far = own[name]
                own[name] = Exchanged(so_far.bytes + _size(found[1]), so_far.count + 1)
                continue  # what it calls adds two numbers
            trips = _TRIPS.search(line)
            times = int(trips[1]) if trips and " while(" in line else 1
            branches = _BRANCHES.search(line)
            named = re.findall(r"%?([\w.-]+)", branches[1]) if branches else []
            calls[name] += [(called, times) for called in [*_CALLED.findall(line), *named]]
    return own, calls


def _total(
    name: str, own: dict[str, Exchanged], calls: dict[str, list[tuple[str, int]]]
) -> Exchanged:
    total, count = own.get(name, Exchanged(0, 0))
    for called, times in calls.get(name, []):
        inner = _total(called, own, calls)
        total, count = total + times * inner.bytes, count + times * inner.count
    return Exchanged(total, count)


def _size(shapes: str) -> int:
    """Bytes of `f32[3,4]` or a tuple of such."""
    total = 0
    for bits, sides in _ARRAY.findall(shapes):
        elements = 1
        for side in filter(None, sides.split(",")):
            elements *= int(side)
        total += elements * max(int(bits or 8) // 8, 1)
    return total
