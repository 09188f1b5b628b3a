"""`rlseq eval`."""

import argparse
from pathlib import Path

from rlseq.commands import arguments, guard

ABOUT = "play fresh episodes with a trained policy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which policy plays, how, and how often."""
    arguments.add_episodes(parser)
    where = "a new file for the episodes, instead of the run's episodes.jsonl"
    parser.add_argument("--out", type=Path, metavar="FILE", help=where)
    parser.add_argument(
        "--eval-seed",
        type=int,
        help="seed of the episodes: 0 after training (default: one not used yet)",
    )


def run(options: argparse.Namespace) -> int:
    """Play, and print the score; progress goes to standard error."""
    from rlseq.train import evaluate

    def play() -> None:
        lines = evaluate.evaluate_run(
            options.run,
            count=options.episodes,
            max_steps=options.max_steps,
            eval_seed=options.eval_seed,
            out=options.out,
            **arguments.playing(options),
        )
        print(lines)

    return guard.exit_code(play)
