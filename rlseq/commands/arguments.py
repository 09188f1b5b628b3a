"""Arguments that several commands share, and the types of their values."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """`key=value` words of the configuration."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="experiment=NAME core=NAME env.id=ID agent.lr=1e-4 seeds=4 run.dir=FOLDER ...",
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """One run folder."""
    parser.add_argument("run", help="the run folder")
    add_plugins(parser)


def add_trained(parser: argparse.ArgumentParser) -> None:
    """One run or model folder."""
    parser.add_argument("run", help="a run folder, or a model folder of `rlseq export --to`")
    add_plugins(parser)


def add_runs(parser: argparse.ArgumentParser, about: str) -> None:
    """One or more run folders."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help=about)
    add_plugins(parser)


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """Code of the user's own that may be imported; `rlseq.cli` does so."""
    parser.add_argument(
        "--plugins",
        type=names,
        action="extend",
        default=[],
        metavar="MODULE",
        help="modules or files, a,path/to/b.py, that may be imported",
    )


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Which checkpoint of a run."""
    parser.add_argument("--checkpoint", metavar="STEP", help="step or `best` (default: newest)")


def add_greedy(parser: argparse.ArgumentParser) -> None:
    """How actions are chosen."""
    parser.add_argument("--greedy", action="store_true", help="the likeliest action, not a sample")


def add_episodes(parser: argparse.ArgumentParser) -> None:
    """What `eval` and `record` have in common."""
    add_trained(parser)
    parser.add_argument("--episodes", type=count, default=128, help="per seed (default: 128)")
    add_greedy(parser)
    parser.add_argument("--seed-index", type=int, help="one of the run's seeds (default: all)")
    add_checkpoint(parser)
    parser.add_argument(
        "--max-steps",
        type=count,
        help="cut an episode after so many (default: 27000, or the environment's own, if longer)",
    )


def add_film(parser: argparse.ArgumentParser) -> None:
    """Arguments of `video` and `imagine`."""
    add_trained(parser)
    parser.add_argument("--out", type=Path, required=True, help="a new .gif or .mp4 file")
    add_greedy(parser)
    parser.add_argument("--seed-index", type=int, default=0, help="which seed (default: 0)")
    add_checkpoint(parser)


def playing(options: argparse.Namespace) -> dict[str, Any]:
    """How a run's policy plays, from the arguments above; progress goes to standard error."""
    return {
        "greedy": options.greedy,
        "seed_index": options.seed_index,
        "step": options.checkpoint,
        "say": partial(print, file=sys.stderr, flush=True),
    }


def names(text: str) -> list[str]:
    """`a,b` as a list."""
    return text.split(",")


def counts(text: str) -> list[int]:
    """`128,1e3` as a list of positive whole numbers."""
    return [count(one) for one in text.split(",")]


def count(text: str) -> int:
    """A positive whole number; `1e6` is one. Raises ValueError, which argparse reports."""
    value = float(text)
    if not value.is_integer() or not 1 <= value < 2**63:
        raise ValueError(text)
    return int(value)


def size(text: str) -> int:
    """`80GB`, `512MB` or a number of bytes. Raises ValueError, which argparse reports."""
    units = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    number, unit = (text[:-2], units[text[-2:]]) if text[-2:] in units else (text, 1)
    return count(str(float(number) * unit))


size.__name__ = "size"
count.__name__ = counts.__name__ = "whole number"  # argparse says "invalid whole number value"
