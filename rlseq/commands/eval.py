"""`rlseq eval`."""

import argparse

from rlseq.commands import DONE, arguments

ABOUT = "play fresh episodes with a trained policy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which policy plays, how, and how often."""
    arguments.add_run(parser)
    parser.add_argument(
        "--episodes", type=arguments.count, default=128, help="per seed (default: 128)"
    )
    arguments.add_greedy(parser)
    parser.add_argument("--seed-index", type=int, help="one of the run's seeds (default: all)")
    arguments.add_checkpoint(parser)


def run(options: argparse.Namespace) -> int:
    """Play, and print the score."""
    from rlseq.train import evaluate

    line = evaluate.evaluate_run(
        options.run,
        episodes=options.episodes,
        greedy=options.greedy,
        seed_index=options.seed_index,
        step=options.checkpoint,
    )
    print(line)
    return DONE
