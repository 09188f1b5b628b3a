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
        from rlseq.train.swept import space

        space.refuse(options.overrides)
        return jobs.exit_code(lambda: sweep.multirun(options.overrides), "rlseq resume of each")
    return guard.exit_code(lambda: _train(options.overrides))


def _train(words: list[str]) -> None:
    from rlseq import overrides
    from rlseq.train import distributed

    with distributed.joined(overrides.text_of("run.distributed", words)) as processes:
        # Imported here, as they touch devices: gymnax does.
        from rlseq import config
        from rlseq.train import loop
        from rlseq.train.swept import loop as swept
        from rlseq.train.swept import space

        if space.has_sweep(words):
            swept.train(space.parse(words))
            return
        loop.train(config.compose(words), processes)
