"""`rlseq campaign`."""

import argparse
import shlex
import sys
from pathlib import Path

from rlseq.commands import DONE, FAILED, arguments, guard

ABOUT = "environments x cores x agents x seeds of a YAML file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, and how many jobs run at a time."""
    parser.add_argument("file", type=Path, help="the campaign: a YAML file")
    parser.add_argument("--status", action="store_true", help="print the progress, run nothing")
    add_jobs(parser)


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """How many processes share the machine."""
    parser.add_argument(
        "--jobs", type=arguments.count, default=1, help="at a time, sharing cores (default: 1)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the progress, or run or resume what is missing."""
    from rlseq.train.campaign import file, plan, progress

    found = file.read(options.file)
    if options.status:
        for entry in found.entries:
            plan.check_same(entry)
        progress.show(progress.Progress(found.entries).lines(), options.jobs)
        return DONE
    again = f"rlseq campaign {shlex.quote(str(options.file))} --jobs {options.jobs}"
    return run_jobs(found.entries, options.jobs, again, lambda: _say_next(found.root))


def run_jobs(entries, jobs: int, again: str, then) -> int:
    """Run what is missing, then something where no signal came; the exit code."""
    from rlseq.train.campaign import runner

    failed: list[str] = []

    def work() -> None:
        failed.extend(runner.run(entries, jobs, again))
        then()

    code = guard.exit_code(work)
    for line in failed:
        print(f"rlseq: {line}", file=sys.stderr)
    if failed:
        count = f"{len(failed)} of {len(entries)} jobs failed"
        print(f"rlseq: {count}; to try them again: {again}", file=sys.stderr)
    return FAILED if failed and code == DONE else code


def _say_next(root: Path) -> None:
    place = shlex.quote(str(root))
    out = shlex.quote(str(root / "report"))
    print(f"scores and curves: rlseq report {place} --out {out}", flush=True)
