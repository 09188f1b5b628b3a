"""`rlseq resume`."""

import argparse
from pathlib import Path

from rlseq.commands import arguments, guard

ABOUT = "continue a run from its newest checkpoint"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run, a new end, and the devices and processes of this start."""
    arguments.add_run(parser)
    parser.add_argument(
        "--total-steps", type=arguments.count, help="a longer run than it was started with"
    )
    parser.add_argument("--mesh", help="the run's mesh from now on: env=4, seed=2,env=2 or null")
    parser.add_argument(
        "--distributed",
        metavar="PROCESSES",
        help="auto or HOST:PORT,processes=4,rank=0, as run.distributed of `rlseq train`",
    )


def run(options: argparse.Namespace) -> int:
    """Train on."""
    return guard.exit_code(lambda: _resume(options))


def _resume(options: argparse.Namespace) -> None:
    from rlseq.train import distributed

    with distributed.joined(options.distributed) as processes:
        # Imported here, as they touch devices: gymnax does.
        from rlseq.train import loop, runs
        from rlseq.train.swept import folder as sweeps
        from rlseq.train.swept import loop as swept

        if sweeps.is_sweep(folder := Path(options.run)):
            sweeps.refuse(options.mesh, options.distributed)
            swept.resume(folder, options.total_steps)
            return
        run = runs.open_run(options.run)
        loop.resume(run, options.total_steps, mesh=options.mesh, processes=processes)
