"""`rlseq gallery`."""

import argparse
from functools import partial
from pathlib import Path

from rlseq.commands import arguments, guard

ABOUT = "draw every environment: GIFs and strips over time"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The output, and which environments."""
    parser.add_argument("out", type=Path, help="the folder to write to")
    parser.add_argument(
        "--envs", type=arguments.names, default=[], help="popgym:AutoencodeEasy,..."
    )


def run(options: argparse.Namespace) -> int:
    """Draw, naming each file."""
    from rlseq.analysis.gallery import gallery

    show = partial(print, flush=True)
    return guard.exit_code(lambda: gallery(options.out, options.envs, show=show))
