"""Write a report on run folders into a folder."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from rlseq.analysis.report import content, document, figures, summary, tables
from rlseq.analysis.report.cautions import cautions
from rlseq.analysis.report.collect import Study, collect
from rlseq.analysis.report.document import Image
from rlseq.analysis.report.methods import together
from rlseq.analysis.report.protocols import NEWEST_SAMPLED, Choice
from rlseq.errors import InputError
from rlseq.train.files import make_folder, write_atomic

PAGE = "report.html"
MARKDOWN = "report.md"
_OURS = re.compile(
    r"report\.(md|html)|(scores|games|aggregates|profiles)\.csv|\w+_(games|profiles|curves)\.png"
)


def write(
    paths: Sequence[str | Path],
    out: Path,
    *,
    overwrite: bool = False,
    choice: Choice = NEWEST_SAMPLED,
    say: Callable[[str], object] = lambda line: None,
) -> list[Path]:
    """Report on run folders, or on all of a folder of them; the files written.

    Args:
        paths: runs, which may differ in method, environment and seed.
        out: the folder to write to, created if it is missing.
        overwrite: replace an earlier report in `out`. Other files there are never touched.
        choice: which evaluations are taken: sampled ones of the newest checkpoint, unless it says
            otherwise.
        say: is called with one line on what is compared and one for each warning.

    Raises InputError for folders that are no runs or not comparable (`collect`), and for an
    earlier report without `overwrite`; nothing is written then.
    """
    if not overwrite:
        _check_free(out)
    study = collect(paths, choice)
    for line in (content.opening(study), *cautions(study)):
        say(line)
    families = summary.summarise(study.scores)
    make_folder(out)
    texts = {
        "scores.csv": tables.scores_csv(study.scores),
        "games.csv": tables.games_csv(families),
        "aggregates.csv": tables.aggregates_csv(families),
        "profiles.csv": tables.profiles_csv(families),
    }
    images = _draw(study, families, out)
    page = content.blocks(study, families, images)
    title = f"Scores of {together(study.methods)}"
    texts |= {
        MARKDOWN: document.as_markdown(title, page),
        PAGE: document.as_html(title, page),
    }
    for name, text in texts.items():
        write_atomic(out / name, text)
    return [*(image.path for image in images.values()), *(out / name for name in texts)]


def _check_free(out: Path) -> None:
    for path in sorted(out.iterdir()) if out.is_dir() else []:
        if _OURS.fullmatch(path.name):
            raise InputError(
                f"{str(path)!r} exists: --overwrite replaces it; or name another folder"
            )


def _draw(study: Study, families: Sequence[summary.Family], out: Path) -> dict[str, Image]:
    images = {}
    for own in families:
        name, methods = own.name, together(own.methods)
        found = [score for score in study.scores if score.env in own.envs]
        images[f"{name} games"] = Image(
            figures.draw_games(own, found, out / f"{name}_games.png"),
            f"Scores of {methods} in each environment; the numbers are in the table.",
            "Every seed a dot; bars are means over seeds with 95 % intervals (Student's t).",
        )
        if own.overall:
            images[f"{name} profiles"] = Image(
                figures.draw_profiles(own, out / f"{name}_profiles.png"),
                f"Performance profiles of {methods}; the numbers are in profiles.csv.",
                "Performance profile: the share of runs that score above each threshold.",
            )
        curves = figures.draw_curves(study, name, out / f"{name}_curves.png")
        if curves:
            images[f"{name} curves"] = Image(
                curves,
                f"Learning curves of {methods}, one panel an environment.",
                "Returns while training; the legend says what lines and bands are.",
            )
    return images
