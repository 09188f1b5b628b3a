"""`rlseq table`."""

import argparse
from pathlib import Path

from rlseq.commands import DONE, arguments

ABOUT = "rows of runs as one table of comma-separated values"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs and rows, and the output."""
    arguments.add_runs(parser, "run folders, or folders of them")
    rows = "metrics (the default: a row for each logged chunk and seed) or episodes of evaluations"
    parser.add_argument("--what", default="metrics", help=rows)
    where = "the new file to write to (default: standard output)"
    parser.add_argument("--csv", type=Path, metavar="FILE", help=where)


def run(options: argparse.Namespace) -> int:
    """Write the table, and print the file's name; or print the table."""
    from rlseq.analysis import table

    if options.csv is None:
        print(table.csv_text(options.runs, options.what), end="")
    else:
        table.write_csv(options.runs, options.csv, options.what)
        print(options.csv)
    return DONE
