"""`rlseq list`."""

import argparse

from rlseq.commands import DONE

ABOUT = "names that can go on the command line"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of what."""
    about = "cores, envs, experiments, agents or world_models"
    parser.add_argument("kind", metavar="KIND", help=about)


def run(options: argparse.Namespace) -> int:
    """Print a name a line, and what it is."""
    from rlseq.train.listing import listing

    entries = listing(options.kind)
    width = max((len(name) for name, _ in entries), default=0)
    for name, about in entries:
        print(f"{name:<{width}}  {about}".rstrip())
    return DONE
