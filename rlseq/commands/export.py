"""`rlseq export`."""

import argparse
from pathlib import Path

from rlseq.commands import DONE, arguments

ABOUT = "write the weights as a flat .npz and a .json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which weights, and the output."""
    arguments.add_run(parser)
    parser.add_argument("out", type=Path, help="the new .npz file")
    arguments.add_checkpoint(parser)


def run(options: argparse.Namespace) -> int:
    """Write both files, and print their names."""
    from rlseq.train.evaluate import export_run

    for path in export_run(options.run, options.out, step=options.checkpoint):
        print(path)
    return DONE
