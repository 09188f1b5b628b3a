"""`rlseq list`."""

import argparse

from rlseq.commands import DONE, arguments

ABOUT = "names for the command line"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which list."""
    about = "cores, envs, experiments, agents, world_models or loggers"
    parser.add_argument("what", metavar="WHAT", help=about)
    arguments.add_plugins(parser)


def run(options: argparse.Namespace) -> int:
    """Print one name a line, with a description."""
    from rlseq.train.listing import listing

    entries = listing(options.what, options.plugins)
    width = max((len(name) for name, _ in entries), default=0)
    for name, about in entries:
        print(f"{name:<{width}}  {about}".rstrip())
    return DONE
