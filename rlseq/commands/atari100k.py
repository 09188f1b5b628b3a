"""`rlseq atari100k`."""

import argparse
from functools import partial
from pathlib import Path

from rlseq.commands import DONE, arguments, guard

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
    arguments.add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Run or resume what is missing, then write the report."""
    from rlseq.train import suite

    asked = options.experiment, options.games, options.seeds, options.root, options.overrides
    entries = suite.plan(*asked)
    if options.dry_run:
        for entry in entries:
            print(f"{entry.folder}  {suite.state(entry)}")
        return DONE
    return guard.exit_code(lambda: _run_and_report(entries))


def _run_and_report(entries) -> None:
    from rlseq.analysis import report
    from rlseq.train import loop, suite

    show = partial(print, flush=True)
    failed = suite.run_all(entries, show)
    done = [entry.folder for entry in entries if suite.state(entry).complete]
    if done:
        out = entries[0].folder.parent / "report"
        show(f"report on {len(done)} of {len(entries)} runs:")
        for path in report.write(done, out, overwrite=True):
            show(path)
    if failed:
        raise loop.NonFinite("; ".join(failed))
