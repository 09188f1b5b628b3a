"""`rlseq search`."""

import argparse
import shlex
from functools import partial
from pathlib import Path

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
    arguments.add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Run what is missing of the trials, and print the best of all."""
    from rlseq import overrides
    from rlseq.train.search import best, runner, space

    root = options.root or Path("runs") / f"search-{overrides.experiment(options.overrides)}"
    found = space.read(options.overrides)
    show = partial(print, flush=True)
    plan = runner.Plan(root, found, options.trials, options.jobs, options.pruner, show)
    own = ["--trials", str(options.trials), "--root", str(root), "--jobs", str(options.jobs)]
    own += ["--pruner", options.pruner]
    again = shlex.join(["rlseq", "search", *own, *options.overrides])

    def work() -> list[str]:
        killed = runner.run(plan, again)
        for line in best.lines(root):
            show(line)
        return killed

    return jobs.exit_code(work, again)
