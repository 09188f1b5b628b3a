"""`rlseq video`."""

import argparse

from rlseq.commands import arguments, guard

ABOUT = "a video of a trained policy: GIF or MP4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which policy plays, and how long the video is."""
    parser.add_argument("--episodes", type=arguments.count, default=1, help="how many (default: 1)")
    parser.add_argument(
        "--steps", type=arguments.count, default=3000, help="at most (default: 3000)"
    )
    arguments.add_film(parser)


def run(options: argparse.Namespace) -> int:
    """Play, and write the film."""
    from rlseq.analysis.video import film

    def play() -> None:
        line = film(
            options.run,
            options.out,
            episodes=options.episodes,
            steps=options.steps,
            **arguments.playing(options),
        )
        print(line)

    return guard.exit_code(play)
