"""`rlseq report`."""

import argparse
import sys
from functools import partial
from pathlib import Path

from rlseq.commands import DONE, arguments

ABOUT = "scores, intervals and curves of runs as one page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs, and the output."""
    arguments.add_runs(parser, "run folders, or folders of them; or the folder of a search")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier report there")
    modes = "sampled or greedy episodes (default: sampled)"
    parser.add_argument("--mode", default="sampled", help=modes)
    parser.add_argument(
        "--checkpoint",
        type=arguments.count,
        metavar="STEP",
        help="the evaluated checkpoint (default: the newest of each run)",
    )


def run(options: argparse.Namespace) -> int:
    """Write the report, and print the files' names; warnings go to standard error."""
    from rlseq.analysis import report

    if len(options.runs) == 1 and report.search.is_search(options.runs[0]):
        root = Path(options.runs[0])
        for path in report.search.write(root, options.out, overwrite=options.overwrite):
            print(path)
        return DONE
    choice = report.Choice(options.mode, options.checkpoint)
    for path in report.write(
        options.runs,
        options.out,
        overwrite=options.overwrite,
        choice=choice,
        say=partial(print, file=sys.stderr),
    ):
        print(path)
    return DONE
