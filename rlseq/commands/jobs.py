"""Options and exit codes of commands that run several jobs."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rlseq.commands import DONE, FAILED, arguments, guard
from rlseq.errors import InputError

SETTING = "hydra.launcher."  # begins the settings of a launcher


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """How many processes share the machine."""
    parser.add_argument(
        "--jobs", type=arguments.count, default=1, help="at a time, sharing cores (default: 1)"
    )


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Who else may run the jobs; its settings are words `hydra.launcher.KEY=VALUE`."""
    parser.add_argument(
        "--launcher",
        metavar="NAME",
        help="of Hydra: joblib, submitit_local, submitit_slurm or ray, in the place of --jobs",
    )


def split(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """(words of the runs, settings of the launcher), which stand in any order.

    Raises InputError for settings without a launcher.
    """
    settings = [word for word in options.overrides if word.startswith(SETTING)]
    if settings and options.launcher is None:
        raise InputError(f"{settings[0]} is a setting of a launcher: name it by --launcher NAME")
    return [word for word in options.overrides if word not in settings], settings


def words_of(options: argparse.Namespace) -> list[str]:
    """The options above as a command has them."""
    jobs = ["--jobs", str(options.jobs)]
    if options.launcher is None:
        return jobs
    return [*(jobs if options.jobs > 1 else []), "--launcher", options.launcher, *split(options)[1]]


def launcher_of(options: argparse.Namespace) -> Any | None:
    """The launcher that is asked for; None without one. Raises InputError as `launchers.find`."""
    settings = split(options)[1]
    if options.launcher is None:
        return None
    from rlseq.train.campaign import launchers

    return launchers.find(options.launcher, settings)


def run(entries: Sequence[Any], options: argparse.Namespace, again: str) -> list[str]:
    """Run what is missing of a campaign; a line for each job that failed.

    Raises what the runner or the launchers do.
    """
    from rlseq.train.campaign import launchers, runner

    launcher = launcher_of(options)
    if launcher is None:
        return runner.run(entries, options.jobs, again)
    return launchers.run(entries, launcher, again)


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
