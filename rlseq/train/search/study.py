"""The study of a search: a file in its folder, to which every trial adds lines of JSON."""

import json
import os
from pathlib import Path
from typing import Any

from rlseq.errors import InputError, check_names, shown
from rlseq.train import files
from rlseq.train.search.package import optuna
from rlseq.train.search.space import Space

FILE, LOCK = "study.jsonl", "study.lock"
_NAME, _SPACE, _FIXED = "search", "space", "fixed"
_COUNTS = "run.eval_episodes="  # of the settings below `run`, what trials are compared by
# Pruners compare trials at equal percents of their training; the numbers are ours.
PRUNERS = ("median", "halving", "none")
_EARLIEST = 20  # percent, before which `median` stops nothing
_FIRST_TRIALS = 5  # that `median` lets finish, Optuna's own default
_RUNG, _FACTOR = 10, 3  # `halving`: at 10, 30 and 90 percent the best third goes on


def exists(root: Path) -> bool:
    """Whether a folder holds a study."""
    return (root / FILE).is_file()


def load(root: Path) -> Any:
    """The study of a folder, to be read. Raises InputError where it cannot be."""
    package, missing = optuna(), InputError(f"{str(root)!r} holds no study of a search")
    if not exists(root):
        raise missing
    try:
        return package.load_study(study_name=_NAME, storage=_storage(root))
    except (KeyError, ValueError) as error:
        raise missing from error


def continued(root: Path, space: Space, pruner: str, seed: int, jobs: int) -> Any:
    """The study of a folder, begun or gone on with; the caller has its lock.

    Raises InputError for a study of another space and an unknown pruner, and CannotWrite.
    """
    made = _pruner(pruner)
    files.make_folder(root)
    _mend(root)
    with files.writing("the study", root):
        study = _begun(root)
        _check_same(study, root, space)
        for key, value in _about(space).items():
            if key not in study.user_attrs:
                study.set_user_attr(key, value)
    # A search that goes on draws other numbers than it began with.
    number = hash((seed, len(study.trials))) % 2**32
    study.sampler = optuna().samplers.TPESampler(seed=number, constant_liar=jobs > 1)
    study.pruner = made
    return study


def check_pruner(name: str) -> None:
    """Raise InputError for an unknown one, with the nearest match."""
    check_names("pruner", [name], PRUNERS)


def space_of(study: Any) -> tuple[dict[str, Any], list[str]]:
    """(distributions, fixed words) that a study was begun with."""
    known = optuna().distributions.json_to_distribution
    keys = {key: known(text) for key, text in study.user_attrs[_SPACE].items()}
    return keys, study.user_attrs[_FIXED]


def _begun(root: Path) -> Any:
    storage = _storage(root)
    try:
        return optuna().load_study(study_name=_NAME, storage=storage)
    except KeyError:
        return optuna().create_study(study_name=_NAME, storage=storage, direction="maximize")


def _about(space: Space) -> dict[str, Any]:
    text = optuna().distributions.distribution_to_json
    fixed = [word for word in space.fixed if word.startswith(_COUNTS) or word[:4] != "run."]
    return {_SPACE: {key: text(one) for key, one in space.distributions.items()}, _FIXED: fixed}


def _check_same(study: Any, root: Path, space: Space) -> None:
    for key, value in _about(space).items():
        held = study.user_attrs.get(key, value)
        if held != value:
            raise InputError(
                f"{str(root)!r} holds a study of another space: its {key} is "
                f"{shown(_plain(held))}, {shown(_plain(value))} is asked for; name another --root"
            )


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return ", ".join(f"{key} {json.loads(text)['attributes']}" for key, text in value.items())


def _pruner(name: str) -> Any:
    check_pruner(name)
    pruners = optuna().pruners
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=_FIRST_TRIALS, n_warmup_steps=_EARLIEST)
    if name == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=_RUNG, reduction_factor=_FACTOR)
    return pruners.NopPruner()


def _storage(root: Path) -> Any:
    journal = optuna().storages.journal
    return optuna().storages.JournalStorage(journal.JournalFileBackend(str(root / FILE)))


def _mend(root: Path) -> None:
    """Remove what a kill may leave of a line, and Optuna's own lock: ours is held."""
    path = root / FILE
    files.remove(root / f"{FILE}.lock")
    if path.exists():
        data = files.read(path)
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with files.writing(FILE, root):
                os.truncate(path, whole)
