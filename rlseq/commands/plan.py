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
        type=_size_or_word,
        const=0,
        metavar="MEMORY",
        help="also the largest env.num_envs that fits, in 80GB or in this device's memory",
    )


def _size_or_word(text: str) -> int | str:
    """Of `--fit core=gru`, where argparse takes the word for the memory, the word."""
    return text if "=" in text else arguments.size(text)


_size_or_word.__name__ = "size"  # argparse says "invalid size value"


def run(options: argparse.Namespace) -> int:
    """Print one amount a line."""
    from rlseq import config
    from rlseq.train import memory
    from rlseq.train.fit import fit
    from rlseq.train.plan import plan

    given, words = options.fit, options.overrides
    if isinstance(given, str):
        given, words = 0, [given, *words]
    composed = config.compose(words)
    lines = plan(composed)
    if given is not None:
        limit = given or memory.device_memory()
        count, size = fit(composed, limit)
        fits = f"{count:,}: {size / 1e9:.3g} GB of {limit / 1e9:.3g} GB"
        lines.append(("largest env.num_envs", fits))
    for what, amount in lines:
        print(f"{what:<32}{amount}")
    return DONE
