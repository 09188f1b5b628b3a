"""The cost of every core and method: steps and sequences, forward and backward, one layer each."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rlseq import registry
from rlseq.analysis.bench import core_report as report
from rlseq.analysis.bench.core_cases import Case, measure
from rlseq.errors import InputError, check_names

LENGTHS, BATCH, WIDTH = (128, 1024, 8192), 16, 128
STEP_BATCHES = (1, 64)
QUICK = {"lengths": (128,), "batch": 4, "width": 32}


def run(
    folder: Path,
    cores: Sequence[str] = (),
    lengths: Sequence[int] = (),
    *,
    quick: bool = False,
    show: Callable[[str], object] = print,
) -> list[dict]:
    """Measure what `folder` does not hold yet and write cores.json, cores.csv and cores.png there.

    The files are written after every case, so a run that was stopped goes on where it was.

    Args:
        folder: created if it is missing.
        cores: registered names; all without any.
        lengths: T of the sequences.
        quick: small sizes, to check that everything runs.
        show: is called with a line for each case.

    Returns the rows of all cases asked for. Raises InputError for an unknown core, a length below
    1 and a folder with figures of another machine.
    """
    cores = list(cores) or registry.names("core")
    check_names("core", cores, registry.names("core"))
    if any(length < 1 for length in lengths):
        raise InputError(f"lengths are at least 1, got {', '.join(map(str, lengths))}")
    wanted = cases(cores, lengths, quick=quick)
    command = _command(cores, lengths, quick)
    held = report.load(folder)
    for case in wanted:
        if case not in held.rows:
            row = measure(case, list(held.rows.values()), repeats=3 if quick else 0)
            held.rows[case] = row | {"commit": held.about["commit"], "time": _now()}
            held.note(command)
            report.write(folder, held)
        show(report.line(held.rows[case]))
    return [held.rows[case] for case in wanted]


def cases(cores: Sequence[str], lengths: Sequence[int] = (), *, quick: bool = False) -> list[Case]:
    """Every step and sequence to measure, the short ones of a core first."""
    batch, width = (QUICK["batch"], QUICK["width"]) if quick else (BATCH, WIDTH)
    lengths = sorted(set(lengths or (QUICK["lengths"] if quick else LENGTHS)))
    found = []
    for core in cores:
        found += [Case(core, "", "step", 1, size, width) for size in STEP_BATCHES]
        # "auto" stands for one of the others, which are measured by their own names.
        methods = [m for m in registry.load("core", core).methods if m != "auto"] or [""]
        found += [
            Case(core, method, "sequence", length, batch, width)
            for method in methods
            for length in lengths
        ]
    return found


def _command(cores: Sequence[str], lengths: Sequence[int], quick: bool) -> str:
    words = ["rlseq bench cores --cores", ",".join(cores)]
    words += ["--lengths", ",".join(map(str, lengths))] if lengths else []
    return " ".join([*words, "--quick"] if quick else words)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
