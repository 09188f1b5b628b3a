"""`rlseq check`."""

import argparse

from rlseq.commands import DONE, FAILED, arguments
from rlseq.errors import check_names

ABOUT = "which laws a core keeps, one of your own too"
VERDICTS = {True: "holds", False: "BROKEN", None: "not checked"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is checked."""
    parser.add_argument("what", metavar="WHAT", help="core")
    parser.add_argument("name", metavar="NAME", help="my_module:Mine, path/to/file.py:Mine or gru")
    twin = "my_module:twin, a slow version of a layer in NumPy, for law 10"
    parser.add_argument("--twin", metavar="MODULE:FUNCTION", help=twin)
    arguments.add_plugins(parser)


def run(options: argparse.Namespace) -> int:
    """Print one law a line; 1 where one is broken."""
    check_names("part", [options.what], ["core"])
    from rlseq import plugins, registry
    from rlseq.laws.check import check_core

    taken = registry.take("core", options.name) if ":" in options.name else options.name
    twin = plugins.function(options.twin) if options.twin else None
    found = []
    for verdict in check_core(taken, twin):
        found.append(verdict.holds)
        print(f"{verdict.law:>2}  {VERDICTS[verdict.holds]:<11}  {verdict.about}", flush=True)
        if verdict.why:
            print(f"{'':17}{verdict.why}", flush=True)
    told = [f"{found.count(holds)} {word}" for holds, word in _WORDS if found.count(holds)]
    print(f"{taken}: of {len(found)} laws {', '.join(told)}")
    return FAILED if False in found else DONE


_WORDS = ((True, "hold"), (False, "broken"), (None, "not checked"))
