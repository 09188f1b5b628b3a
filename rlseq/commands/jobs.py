"""Options and exit codes of commands that run several jobs."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rlseq.commands import DONE, FAILED, arguments, guard


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """How many processes share the machine."""
    parser.add_argument(
        "--jobs", type=arguments.count, default=1, help="at a time, sharing cores (default: 1)"
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Who else may run the jobs: a launcher and its settings."""
    parser.add_argument(
        "--launcher",
        nargs="+",
        metavar=("NAME", "hydra.launcher.KEY=VALUE"),
        help="of Hydra: joblib, submitit_local, submitit_slurm or ray, in the place of --jobs",
    )


def words_of(options: argparse.Namespace) -> list[str]:
    """The options above as a command has them."""
    if options.launcher is None:
        return ["--jobs", str(options.jobs)]
    return ["--launcher", *options.launcher]


def run(entries: Sequence[Any], options: argparse.Namespace, again: str) -> list[str]:
    """Run what is missing of a campaign; a line for each job that failed.

    Raises what the runner or the launchers do.
    """
    if options.launcher is None:
        from rlseq.train.campaign import runner

        return runner.run(entries, options.jobs, again)
    from rlseq.train.campaign import launchers

    name, *settings = options.launcher
    return launchers.run(entries, launchers.find(name, settings), again)


def exit_code(work: Callable[[], Sequence[str]], again: str, of: int | None = None) -> int:
    """Do `work`, which returns a line for each job that failed, and print them; the exit code.

    `again` is the command that tries them again, `of` how many jobs there are, where known.
    """
    failed: list[str] = []
    code = guard.exit_code(lambda: failed.extend(work()))
    for line in failed:
        print(f"rlseq: {line}", file=sys.stderr)
    if failed:
        count = f"{len(failed)}{'' if of is None else f' of {of}'} jobs failed"
        print(f"rlseq: {count}; to try them again: {again}", file=sys.stderr)
    return FAILED if failed and code == DONE else code
