"""`rlseq export`."""

import argparse
from pathlib import Path

from rlseq.commands import DONE, arguments

ABOUT = "write what was learned: a model folder to share, or arrays for NumPy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which weights, and the output."""
    arguments.add_trained(parser)
    parser.add_argument(
        "out", type=Path, nargs="?", help="a new .npz file, with a .json beside it; all seeds"
    )
    where = "a new folder in the form of the Hugging Face Hub, with the policy of one seed"
    parser.add_argument("--to", type=Path, metavar="FOLDER", help=where)
    parser.add_argument(
        "--seed-index", type=int, help="with --to: which of the run's seeds (default: 0)"
    )
    parser.add_argument("--license", metavar="ID", help="with --to: such as apache-2.0")
    about = "with --to: the policy's step for JAX alone, policy.stablehlo"
    parser.add_argument("--stablehlo", action="store_true", help=about)
    parser.add_argument(
        "--batch",
        type=arguments.count,
        metavar="N",
        help="with --stablehlo: exactly N observations (default: any number)",
    )
    arguments.add_checkpoint(parser)


def run(options: argparse.Namespace) -> int:
    """Write the files, and print their names."""
    from rlseq.errors import InputError
    from rlseq.train.export import export_model, export_run

    if (options.out is None) == (options.to is None):
        raise InputError("export goes either to a file OUT.npz or --to FOLDER")
    if options.to is None:
        given = {
            "--seed-index": options.seed_index is not None,
            "--license": options.license is not None,
            "--stablehlo": options.stablehlo,
            "--batch": options.batch is not None,
        }
        for name in (name for name, value in given.items() if value):
            raise InputError(f"{name} is of a model folder: write --to FOLDER")
        found = [*export_run(options.run, options.out, step=options.checkpoint)]
    else:
        found = export_model(
            options.run,
            options.to,
            seed_index=options.seed_index or 0,
            step=options.checkpoint,
            licence=options.license,
            program=options.stablehlo,
            batch=options.batch,
        )
    for path in found:
        print(path)
    return DONE
