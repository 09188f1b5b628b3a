"""`rlseq search`."""

import argparse
import shlex
from functools import partial
from pathlib import Path
from typing import Any

from rlseq.commands import arguments, jobs

ABOUT = "hyper-parameters by Optuna: the best of N trials, resumed and pruned"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The space, how many trials, and where."""
    parser.add_argument(
        "--trials", type=arguments.count, default=20, help="in all, resumed ones too (default: 20)"
    )
    parser.add_argument("--root", type=Path, help="of the trials: runs/search-EXPERIMENT")
    parser.add_argument(
        "--pruner", default="median", help="median, halving or none (default: median)"
    )
    jobs.add_jobs(parser)
    jobs.add_launcher(parser)
    arguments.add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Run what is missing of the trials, and print the best of all."""
    from rlseq import overrides
    from rlseq.train.search import best, runner, space

    words, _ = jobs.split(options)
    root = options.root or Path("runs") / f"search-{overrides.experiment(words)}"
    found, launcher = space.read(words), jobs.launcher_of(options)
    show = partial(print, flush=True)
    count = _at_a_time(launcher, options)
    plan = runner.Plan(root, found, options.trials, count, options.pruner, show, launcher)
    own = ["--trials", str(options.trials), "--root", str(root), "--pruner", options.pruner]
    again = shlex.join(["rlseq", "search", *own, *jobs.words_of(options), *words])

    def work() -> list[str]:
        killed = runner.run(plan, again)
        for line in best.lines(root):
            show(line)
        return killed

    return jobs.exit_code(work, again)


def _at_a_time(launcher: Any | None, options: argparse.Namespace) -> int:
    """As many trials as the launcher runs on this machine, or as --jobs says."""
    if launcher is None:
        return options.jobs
    from rlseq.train.campaign import launchers

    return launchers.at_a_time(launcher, options.trials) or options.jobs
