"""`rlseq plot`."""

import argparse
from pathlib import Path

from rlseq.commands import DONE, arguments

ABOUT = "draw learning curves as PNG and SVG"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs, over what, and the output."""
    arguments.add_runs(parser, "run folders")
    parser.add_argument("--out", type=Path, help="folder to write to (one run: its plots/)")
    parser.add_argument("--x", default="steps", help="steps (the default) or seconds")


def run(options: argparse.Namespace) -> int:
    """Draw, and print the files' names."""
    from rlseq.analysis.plots import plot_runs

    for path in plot_runs(options.runs, options.out, x=options.x):
        print(path)
    return DONE
