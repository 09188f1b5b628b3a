"""Warnings about the scores of a report: differences, repeats, what is left out."""

from rlseq.analysis.report.collect import Study, family
from rlseq.analysis.report.methods import tuned_settings
from rlseq.train import logging

# What should be alike in evaluations that are compared, by the field of a score.
_COMPARED = {
    "steps": "step",
    "episodes a seed": "episodes",
    "environments": "num_envs",
    "the most steps of an episode": "max_steps",
}


def cautions(study: Study) -> list[str]:
    """One sentence for each thing that makes scores less comparable or certain."""
    notes = []
    tuned = tuned_settings([run.config for run in study.runs])
    if tuned:
        notes.append(f"Settings that differ between games of one method: {', '.join(tuned)}.")
    for what, field in _COMPARED.items():
        values = {(family(s.env), getattr(s, field)) for s in study.scores}
        for name in sorted({name for name, _ in values}):
            found = sorted((value for other, value in values if other == name), key=_in_order)
            if len(found) > 1:
                listed = ", ".join("none" if v is None else f"{v:,}" for v in found)
                notes.append(f"Evaluations of {name} differ in {what}: {listed}.")
    return notes + _repeated(study) + _beyond(study)


def _in_order(value: int | None) -> int:
    return -1 if value is None else value


def _repeated(study: Study) -> list[str]:
    """Seeds that played one trajectory again and again, and episodes that were left out."""
    alike = [s for s in study.scores if s.distinct == 1 and s.episodes > 1]
    notes = []
    if alike:
        named = ", ".join(f"seed {s.seed} of {s.env} by {s.method}" for s in alike)
        notes.append(
            f"Warning: all episodes are one trajectory, repeated, in {named}: there is no chance "
            "in the game nor in the policy, and no error can be estimated."
        )
    for folder, count in study.left_out.items():
        if count:
            notes.append(
                f"Left out of {folder.name}: {count:,} episodes played with another number of "
                "environments or limit of steps."
            )
    return notes


def _beyond(study: Study) -> list[str]:
    """Runs that were trained on after the checkpoint that was evaluated."""
    notes = []
    for run in study.runs:
        rows = logging.read(run.folder / logging.METRICS)
        played = max(score.step for score in study.scores if score.folder == run.folder)
        if rows and rows[-1]["step"] > played:
            notes.append(
                f"{run.folder.name} is scored at step {played:,} and was trained to "
                f"{rows[-1]['step']:,}."
            )
    return notes
