"""`rlseq check`."""

import argparse
from collections.abc import Iterator

from rlseq.commands import DONE, FAILED, arguments
from rlseq.errors import InputError, check_names

ABOUT = "which laws a core or environment keeps, one of your own too"
VERDICTS = {True: "holds", False: "BROKEN", None: "not checked"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is checked."""
    parser.add_argument("what", metavar="WHAT", help="core or env")
    names = "my_module:Mine, path/to/file.py:Mine, or a name of `rlseq list`"
    parser.add_argument("name", metavar="NAME", help=names)
    twin = "my_module:twin, a slow version of a layer in NumPy, for law 10"
    parser.add_argument("--twin", metavar="MODULE:FUNCTION", help=twin)
    arguments.add_plugins(parser)


def run(options: argparse.Namespace) -> int:
    """Print one law a line; 1 where one is broken."""
    check_names("part", [options.what], ["core", "env"])
    taken, verdicts = _core(options) if options.what == "core" else _env(options)
    found = []
    for verdict in verdicts:
        found.append(verdict.holds)
        print(f"{verdict.law:>2}  {VERDICTS[verdict.holds]:<11}  {verdict.about}", flush=True)
        if verdict.why:
            print(f"{'':17}{verdict.why}", flush=True)
    counts = [f"{found.count(holds)} {word}" for holds, word in _WORDS if found.count(holds)]
    print(f"{taken}: of {len(found)} laws {', '.join(counts)}")
    return FAILED if False in found else DONE


def _core(options: argparse.Namespace) -> tuple[str, Iterator]:
    """The name of a core, and the verdicts on it."""
    from rlseq import plugins, registry
    from rlseq.laws.check import check_core

    name = registry.take("core", options.name) if ":" in options.name else options.name
    twin = plugins.function(options.twin) if options.twin else None
    return name, check_core(name, twin)


def _env(options: argparse.Namespace) -> tuple[str, Iterator]:
    """The id of an environment, and the verdicts on it."""
    from rlseq import config_plugins
    from rlseq.laws.check_env import check_env

    if options.twin:
        raise InputError("--twin is of cores: environments have no law about one")
    name = config_plugins.env_id_of(options.name)
    return name, check_env(name)


_WORDS = ((True, "hold"), (False, "broken"), (None, "not checked"))
