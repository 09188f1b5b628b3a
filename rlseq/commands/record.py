"""`rlseq record`."""

import argparse
from pathlib import Path

from rlseq.commands import arguments, guard

ABOUT = "record what a trained policy does, as data for agent=decision"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which policy plays, how often, and where it is written."""
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new .npz file")
    arguments.add_episodes(parser)
    parser.add_argument(
        "--eval-seed", type=int, default=1, help="seed of the episodes (default: 1)"
    )


def run(options: argparse.Namespace) -> int:
    """Play, and write the episodes; progress goes to standard error."""
    from rlseq.train.record import record_run

    def play() -> None:
        line = record_run(
            options.run,
            options.out,
            count=options.episodes,
            max_steps=options.max_steps,
            eval_seed=options.eval_seed,
            **arguments.playing(options),
        )
        print(line)

    return guard.exit_code(play)
