"""`rlseq train`."""

import argparse

from rlseq.commands import arguments, guard

ABOUT = "start a run, or a sweep of runs with -m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Overrides, and whether they form a sweep."""
    parser.add_argument("-m", "--multirun", action="store_true", help="sweep: core=s5,gru seed=0,1")
    arguments.add_overrides(parser)


def run(options: argparse.Namespace) -> int:
    """Train one run, or one for each combination of a sweep."""
    if options.multirun:
        from rlseq.train import sweep
        from rlseq.train.swept import space

        space.refuse(options.overrides)
        return guard.exit_code(lambda: sweep.multirun(options.overrides))
    from rlseq import config
    from rlseq.train import loop
    from rlseq.train.swept import loop as swept
    from rlseq.train.swept import space

    if space.has_sweep(options.overrides):
        return guard.exit_code(lambda: swept.train(space.parse(options.overrides)))
    return guard.exit_code(lambda: loop.train(config.compose(options.overrides)))
