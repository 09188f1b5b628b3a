"""A report on a search: its best trial, all of them, importances and parallel coordinates."""

import csv
import io
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from rlseq.analysis.report import document
from rlseq.analysis.report.document import Block, Heading, Image, Points, Table, Text
from rlseq.analysis.report.search_figure import draw
from rlseq.errors import InputError
from rlseq.train.files import make_folder, write_atomic
from rlseq.train.search import best, runner
from rlseq.train.search import study as studies
from rlseq.train.search.package import optuna
from rlseq.train.search.space import Space

PAGE, MARKDOWN, TRIALS, FIGURE = "search.html", "search.md", "trials.csv", "parallel.png"
_STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "unfinished"}


class Found(NamedTuple):
    """A study as it is reported: trials of the highest objective first."""

    root: Path
    space: Space
    study: Any
    trials: list[Any]
    importance: dict[str, float]  # empty where it cannot be told


def is_search(path: str | Path) -> bool:
    """Whether a folder is of a search."""
    return studies.exists(Path(path))


def write(root: Path, out: Path, *, overwrite: bool = False) -> list[Path]:
    """Report on the search in `root`; the files written to `out`.

    Raises InputError where no trial has finished, and for an earlier report without `overwrite`;
    nothing is written then.
    """
    names = (FIGURE, TRIALS, MARKDOWN, PAGE)
    for name in names if not overwrite else ():
        if (out / name).exists():
            raise InputError(
                f"{str(out / name)!r} exists: --overwrite replaces it; or name another folder"
            )
    found = _read(root)
    make_folder(out)
    image = Image(
        draw(found.space.distributions, found.trials, out / FIGURE),
        f"Parallel coordinates of {len(found.trials)} trials; the numbers are in the table.",
        "A line a trial, coloured by its mean return; pruned trials are grey.",
    )
    page, title = _blocks(found, image), f"Search in {root.resolve().name}"
    write_atomic(out / TRIALS, _csv(found))
    write_atomic(out / MARKDOWN, document.as_markdown(title, page))
    write_atomic(out / PAGE, document.as_html(title, page))
    return [out / name for name in names]


def _read(root: Path) -> Found:
    study = studies.load(root)
    if best.best_of(study) is None:
        raise InputError(f"no trial of {str(root)!r} has finished: {best.counts(study)}")
    keys, fixed = studies.space_of(study)
    trials = [one for one in study.get_trials(deepcopy=False) if one.params]
    trials.sort(key=lambda one: (_rank(one), one.number))
    return Found(root, Space(fixed, keys), study, trials, _importance(study))


def _rank(trial: Any) -> tuple[int, float]:
    """Finished before pruned before others, and higher before lower."""
    order = list(_STATES).index(trial.state.name)
    return order, -trial.value if trial.value is not None else 0.0


def _importance(study: Any) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # that all of them are equal, for one
        try:
            return optuna().importance.get_param_importances(study)
        except (ValueError, RuntimeError, UserWarning):  # of too few trials, or all of one value
            return {}


def _blocks(found: Found, image: Image) -> list[Block]:
    first, keys = found.trials[0], list(found.space.distributions)
    best_table = Table(
        "The best trial.", ["", *keys, "mean return"], [_cells(found, first)], ours=[0]
    )
    header = ["", "state", *keys, "mean return", "note"]
    rows = [_row(found, one) for one in found.trials]
    notes = len(header) - 1
    page: list[Block] = [Text(f"{best.counts(found.study)}.")]
    page += [Heading(2, "Best trial"), best_table]
    page += [Points([runner.command(found.space, first.params)])]
    page += [Heading(2, "Importance"), *_importance_blocks(found)]
    page += [Heading(2, "Parallel coordinates"), image]
    page += [Heading(2, "Every trial")]
    page += [Table("The best first.", header, rows, ours=[0], text_columns=(1, notes))]
    return [*page, Heading(2, "How to read this"), Points(_notes())]


def _importance_blocks(found: Found) -> list[Block]:
    if not found.importance:
        return [Text("There are too few finished trials to tell, or all have one value.")]
    rows = [[key, f"{share:.2f}"] for key, share in found.importance.items()]
    caption = "How much the values of the better trials differ from those of all; the sum is 1."
    return [Table(caption, ["", "importance"], rows)]


def _cells(found: Found, trial: Any) -> list[str]:
    values = [_plain(trial.params.get(key)) for key in found.space.distributions]
    return [runner.folder_of(found.root, trial.number).name, *values, _plain(trial.value)]


def _row(found: Found, trial: Any) -> list[str]:
    name, *values = _cells(found, trial)
    note = trial.user_attrs.get(runner.FAILURE, "")
    if runner.PRUNED in trial.user_attrs:
        note = f"after {trial.user_attrs[runner.PRUNED]} % of its training"
    return [name, _STATES[trial.state.name], *values, note]


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _csv(found: Found) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["trial", "state", *found.space.distributions, "mean_return"])
    for one in sorted(found.trials, key=lambda trial: trial.number):
        values = [one.params.get(key) for key in found.space.distributions]
        rows.writerow([one.number, _STATES[one.state.name], *values, one.value])
    return text.getvalue()


def _notes() -> list[str]:
    return [
        "The objective is the mean return of the evaluation after training, over the episodes of "
        "all seeds. The best of many trials is better than its settings are: chance chose it as "
        "well. Train its command again with other seeds before comparing it.",
        "A pruned trial's mean return is of training, at the percent where it was stopped; it is "
        "not to be compared with those of finished ones.",
        "Importance is Optuna's default evaluator, PED-ANOVA (Watanabe et al. 2304.10255), over "
        "finished trials. It says which keys mattered within this space, not outside of it.",
    ]
