"""`rlseq imagine`."""

import argparse

from rlseq.commands import arguments, guard

ABOUT = "a video of a world model's predictions beside the episode"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, and which part of an episode."""
    parser.add_argument(
        "--context", type=arguments.count, default=16, help="steps it sees (default: 16)"
    )
    parser.add_argument(
        "--horizon", type=arguments.count, default=48, help="steps imagined (default: 48)"
    )
    parser.add_argument("--start", type=int, default=0, help="steps of the episode before them")
    arguments.add_film(parser)


def run(options: argparse.Namespace) -> int:
    """Play, imagine, and write the film."""
    from rlseq.analysis.imagine import film_imagination

    def play() -> None:
        line = film_imagination(
            options.run,
            options.out,
            context=options.context,
            horizon=options.horizon,
            start=options.start,
            **arguments.playing(options),
        )
        print(line)

    return guard.exit_code(play)
