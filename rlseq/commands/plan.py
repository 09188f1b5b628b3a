"""`rlseq plan`."""

import argparse

from rlseq.commands import DONE, arguments

ABOUT = "sizes, memory and FLOPs of a run; trains nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run's configuration."""
    arguments.add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Print one amount a line."""
    from rlseq import config
    from rlseq.train.plan import plan

    for what, amount in plan(config.compose(options.overrides)):
        print(f"{what:<32}{amount}")
    return DONE
