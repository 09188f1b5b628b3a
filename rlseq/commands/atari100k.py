"""`rlseq atari100k`."""

import argparse
from functools import partial
from pathlib import Path

from rlseq.commands import DONE, arguments, jobs

ABOUT = "games x seeds of an experiment, then a report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which games and seeds, of which experiment, and the output."""
    parser.add_argument(
        "--games", type=arguments.names, default=["all"], help="Boxing,Pong (default: all)"
    )
    parser.add_argument(
        "--seeds", type=arguments.count, default=5, help="of each game (default: 5)"
    )
    parser.add_argument("--experiment", default="atari100k_drama", help="default: atari100k_drama")
    parser.add_argument("--root", type=Path, help="of the run folders: runs/EXPERIMENT-CORE")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, run nothing")
    jobs.add_jobs(parser)
    jobs.add_launcher(parser)
    arguments.add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Run or resume what is missing, then write the report."""
    from rlseq.train.campaign import games, plan, state

    words, _ = jobs.split(options)
    asked = options.experiment, options.games, options.seeds, options.root, words
    entries = games.entries(*asked)
    if options.dry_run:
        for entry in entries:
            plan.check_same(entry)
            print(f"{entry.folder}  {state.state(entry)}")
        return DONE
    again = "the same command"

    def work() -> list[str]:
        failed = jobs.run(entries, options, again)
        _report(entries)
        return failed

    return jobs.exit_code(work, again, len(entries))


def _report(entries) -> None:
    from rlseq.analysis import report
    from rlseq.train.campaign import state

    show = partial(print, flush=True)
    done = [entry.folder for entry in entries if state.state(entry).kind == state.DONE]
    if done:
        out = entries[0].folder.parent / "report"
        show(f"report on {len(done)} of {len(entries)} runs:")
        for path in report.write(done, out, overwrite=True):
            show(path)
