"""`rlseq plan`."""

import argparse

from rlseq.commands import DONE, arguments

ABOUT = "sizes, memory and FLOPs of a run; trains nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run's configuration, and whether to look for the largest number of environments."""
    arguments.add_overrides(parser)
    parser.add_argument(
        "--fit",
        nargs="?",
        type=arguments.size,
        const=0,
        metavar="MEMORY",
        help="also the largest env.num_envs that fits, in 80GB or in this device's memory",
    )


def run(options: argparse.Namespace) -> int:
    """Print one amount a line."""
    from rlseq import config
    from rlseq.train import memory
    from rlseq.train.fit import fit
    from rlseq.train.plan import plan

    composed = config.compose(options.overrides)
    lines = plan(composed)
    if options.fit is not None:
        limit = options.fit or memory.device_memory()
        count, size = fit(composed, limit)
        fits = f"{count:,}: {size / 1e9:.3g} GB of {limit / 1e9:.3g} GB"
        lines.append(("largest env.num_envs", fits))
    for what, amount in lines:
        print(f"{what:<32}{amount}")
    return DONE
