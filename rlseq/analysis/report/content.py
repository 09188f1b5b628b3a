"""The content of a report, in order: results, curves, where the numbers come from."""

from collections.abc import Sequence

import numpy as np

from rlseq.analysis import atari_scores
from rlseq.analysis.report.cautions import cautions
from rlseq.analysis.report.collect import Study
from rlseq.analysis.report.document import Block, Heading, Image, Points, Table, Text
from rlseq.analysis.report.summary import Family, Overall
from rlseq.analysis.scores import MEASURES, Estimate
from rlseq.envs.atari.scores import REFERENCES
from rlseq.train import logging, runs


def blocks(study: Study, families: Sequence[Family], images: dict[str, Image]) -> list[Block]:
    """The whole page; `images` by "<family> <figure>", as far as there are any."""
    page: list[Block] = [Text(opening(study))]
    for own in families:
        page += _results(own, images)
    page += [Heading(2, "Every run"), _runs_table(study), _scores_table(study)]
    page += [Heading(2, "How to read this"), Points(_notes(study, families))]
    if any(own.published for own in families):
        sources = [f"{agent}: {source}." for agent, source in atari_scores.SOURCES.items()]
        page += [Heading(2, "Sources of published scores"), Points(sources)]
    return page


def opening(study: Study) -> str:
    """One sentence on what is compared."""
    games, seeds = {s.env for s in study.scores}, {s.seed for s in study.scores}
    episodes = sum(score.episodes for score in study.scores)
    distinct = [score.distinct for score in study.scores if score.distinct is not None]
    known = len(distinct) == len(study.scores)
    return (
        f"{_count(len(set(study.methods)), 'method')} in {_count(len(games), 'environment')}, "
        f"{_count(len(seeds), 'seed')}, {episodes:,} {study.choice.mode} episodes"
        f"{f', {sum(distinct):,} of them distinct' if known else ''}."
    )


def _results(own: Family, images: dict[str, Image]) -> list[Block]:
    page: list[Block] = [Heading(2, f"Results: {own.name}")]
    if own.overall:
        page.append(_overall_table(own))
    page.append(_games_table(own))
    if own.published:
        page.append(_published_games_table(own))
    figures = [f"{own.name} {figure}" for figure in ("games", "profiles", "curves")]
    return page + [images[figure] for figure in figures if figure in images]


def _overall_table(own: Family) -> Table:
    rows = [_overall_row(one) for one in (*own.overall, *own.published)]
    left_out = len(own.envs) - len(own.common)
    caption = f"Over {_count(len(own.common), 'game')}, {own.scale}, with 95 % bootstrap intervals"
    if left_out:
        caption += f"; {_count(left_out, 'game')} that not every method has played left out"
    header = ("", "runs", *MEASURES)
    return Table(caption + ".", header, rows, ours=range(len(own.overall)))


def _overall_row(one: Overall) -> list[str]:
    runs = f"{one.runs}" if one.runs else "means"
    return [one.name, runs, *(_estimate(value) for value in one.measures.values())]


def _games_table(own: Family) -> Table:
    scaled = own.name == "atari"
    header = ["", *(f"{method}: return" for method in own.methods)]
    if scaled:
        header += [f"{method}: normalised" for method in own.methods]
    header += ["seeds"]
    by_name = {(game.method, game.env): game for game in own.games}
    rows = []
    for env in own.envs:
        found = [by_name.get((method, env)) for method in own.methods]
        row = [env, *(_estimate(game.returns) if game else "" for game in found)]
        if scaled:
            row += [_estimate(game.scaled) if game else "" for game in found]
        seeds = dict.fromkeys(str(game.seeds) for game in found if game)
        rows.append([*row, " / ".join(seeds)])
    return Table(
        "Mean over seeds of the mean return, with 95 % intervals (Student's t).", header, rows
    )


def _published_games_table(own: Family) -> Table:
    agents = {name: one.means for name, one in atari_scores.published().items()}
    columns = {name: means for name, means in agents.items() if means is not None}
    by_name = {(game.method, game.env): game for game in own.games}
    header = ["", *own.methods, "random", "human", *columns]
    rows = []
    for index, (game, (random, human)) in enumerate(REFERENCES.items()):
        found = [by_name.get((method, f"atari:{game}")) for method in own.methods]
        if any(found):
            ours = [_number(float(one.returns.value)) if one else "" for one in found]
            theirs = [f"{means[index]:,.10g}" for means in columns.values()]
            rows.append([game, *ours, f"{random:,.10g}", f"{human:,.10g}", *theirs])
    return Table("Mean returns beside published ones.", header, rows)


def _runs_table(study: Study) -> Table:
    header = ("run", "environment", "method", "seeds", "steps", "training", "device", "commit")
    rows = []
    for run, method in zip(study.runs, study.methods, strict=True):
        log = logging.read(run.folder / logging.METRICS)
        steps = f"{log[-1]['step']:,}" if log else ""
        about = runs.read_environment_info(run.folder)
        kind, commit = about.get("device kind", ""), about.get("commit", "")[:10]
        device = about.get("cpu", kind) if kind == "cpu" else kind
        row = [run.folder.name, run.config.env.id, method, str(run.config.seeds), steps]
        rows.append([*row, _duration(log), device, commit])
    return Table("The run folders.", header, rows, text_columns=(1, 2, 6, 7))


def _scores_table(study: Study) -> Table:
    header = ("environment", "method", "seed", "checkpoint", "episodes", "distinct", "cut")
    header += ("mean return", "± error")
    rows = [
        [s.env, s.method, str(s.seed), f"{s.step:,}", str(s.episodes),
         "unknown" if s.distinct is None else str(s.distinct), str(s.cut),
         _number(s.mean_return), _number(s.standard_error)]
        for s in study.scores
    ]  # fmt: skip
    caption = (
        f"Every seed: its {study.choice.mode} episodes; error is the standard error over them."
    )
    return Table(caption, header, rows, text_columns=(1,))


def _notes(study: Study, families: Sequence[Family]) -> list[str]:
    at = "newest" if study.choice.step is None else f"step {study.choice.step:,}"
    notes = [
        f"A score is the mean return of one seed's {study.choice.mode} episodes at the evaluated "
        f"checkpoint ({at}): all distinct evaluations of it with one number of environments and "
        "one limit of steps, none counted twice; in each a fixed number of episodes in every "
        "environment slot, never the first to finish.",
        "Seeds are the samples: a standard error over the episodes of one seed shows how well that "
        "one policy is measured, and says nothing about the method. Intervals of a game are "
        "Student's t over its seeds, 95 %. With one seed there is none.",
    ]
    if any(own.overall for own in families):
        notes.append(
            "Mean and median are over games of the mean over seeds; IQM is the mean of the middle "
            "half of all runs; the optimality gap is how far scores fall short of 1, lower is "
            "better. Their intervals are 95 % percentile bootstraps over seeds, within each game "
            "(Agarwal et al. 2108.13264), which are too narrow for few seeds: over 26 games with "
            "3 or 5 seeds they hold the true mean in 90 or 93 % of cases, with fewer games in less."
        )
    if any(own.published for own in families):
        notes.append(
            "Human-normalised: 0 is random play, 1 a human's. Published agents are taken on the "
            "same games; those of which only means were published have no IQM, gap or interval. "
            "Protocols differ between papers: gaps below 0.1 of the mean are noise."
        )
    return notes + cautions(study)


def _duration(rows: Sequence[logging.Row]) -> str:
    seconds = round(rows[-1]["seconds"]) if rows else 0
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" if rows else ""


def _estimate(estimate: Estimate) -> str:
    value, low, high = (float(one) for one in estimate)
    if not np.isfinite(value):
        return "n/a"
    if not low < high:
        return _number(value)
    return f"{_number(value)} ({_number(low)} to {_number(high)})"


def _number(value: float) -> str:
    if not np.isfinite(value):
        return "n/a"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
