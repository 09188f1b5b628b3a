"""`rlseq resume`."""

import argparse

from rlseq.commands import arguments, guard

ABOUT = "continue a run from its newest checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, and a new end."""
    arguments.add_run(parser)
    parser.add_argument(
        "--total-steps", type=arguments.count, help="a longer run than it was started with"
    )


def run(options: argparse.Namespace) -> int:
    """Train on."""
    from pathlib import Path

    from rlseq.train import loop, runs
    from rlseq.train.swept import folder as sweeps
    from rlseq.train.swept import loop as swept

    if sweeps.is_sweep(folder := Path(options.run)):
        return guard.exit_code(lambda: swept.resume(folder, options.total_steps))
    return guard.exit_code(lambda: loop.resume(runs.open_run(options.run), options.total_steps))
