"""`rlseq train`."""

import argparse

from rlseq.commands import arguments, guard, jobs

ABOUT = "start a run, or a sweep of runs with -m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Overrides, and whether they form a sweep."""
    parser.add_argument("-m", "--multirun", action="store_true", help="sweep: core=s5,gru seed=0,1")
    arguments.add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Train one run, or one for each combination of a sweep."""
    if options.multirun:
        from rlseq.train import sweep

        return jobs.exit_code(lambda: sweep.multirun(options.overrides), "rlseq resume of each")
    from rlseq import config
    from rlseq.train import loop

    return guard.exit_code(lambda: loop.train(config.compose(options.overrides)))
