"""The result of a search in a few lines."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from rlseq.train.search import study as studies
from rlseq.train.search.runner import command, folder_of
from rlseq.train.search.space import Space


def lines(root: Path) -> list[str]:
    """How many trials ended how, the best, and what to do next. Raises InputError."""
    study = studies.load(root)
    found = counts(study)
    best = best_of(study)
    if best is None:
        return [f"{found}; none has finished"]
    keys, fixed = studies.space_of(study)
    place, out = shlex.quote(str(root)), shlex.quote(str(root / "report"))
    return [
        f"{found}; the best is {folder_of(root, best.number).name}, mean return {best.value:.4g}",
        f"  train it again   {command(Space(fixed, keys), best.params)}",
        f"  all of them      rlseq report {place} --out {out}",
    ]


def best_of(study: Any) -> Any | None:
    """The finished trial of the highest objective; None before one has finished."""
    done = [one for one in study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"]
    return max(done, key=lambda one: one.value, default=None)


def counts(study: Any) -> str:
    """`12 trials: 8 finished, 3 pruned, 1 failed`."""
    names = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "unfinished"}
    trials = [one for one in study.get_trials(deepcopy=False) if one.params]
    found = Counter(one.state.name for one in trials)
    parts = ", ".join(f"{found[key]} {name}" for key, name in names.items() if found[key])
    return f"{len(trials)} trial{'s' if len(trials) != 1 else ''}: {parts or 'none'}"
