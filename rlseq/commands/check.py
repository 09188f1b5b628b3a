"""`rlseq check`."""

import argparse
import contextlib
from collections.abc import Iterator

from rlseq.commands import DONE, FAILED, arguments
from rlseq.errors import InputError, check_names

ABOUT = "which laws a core, environment or agent keeps, one of your own too"
VERDICTS = {True: "holds", False: "BROKEN", None: "not checked"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is checked."""
    parser.add_argument("what", metavar="WHAT", help="core, env or agent")
    names = "my_module:Mine, path/to/file.py:Mine, or a name of `rlseq list`"
    parser.add_argument("name", metavar="NAME", help=names)
    settings = "of an agent: agent.lr=1e-3 env.id=ID ... in the place of small ones"
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=settings)
    twin = "my_module:twin, a slow version of a layer in NumPy, for law 10"
    parser.add_argument("--twin", metavar="MODULE:FUNCTION", help=twin)
    arguments.add_plugins(parser)


def run(options: argparse.Namespace) -> int:
    """Print one law a line; 1 where one is broken."""
    kinds = {"core": _core, "env": _env, "agent": _agent}
    check_names("part", [options.what], kinds)
    if options.twin and options.what != "core":
        raise InputError(f"--twin is of cores: there is no law about one of an {options.what}")
    if options.overrides and options.what != "agent":
        raise InputError(f"only an agent takes settings, got {options.overrides[0]}")
    taken, verdicts = kinds[options.what](options)
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

    name = config_plugins.env_id_of(options.name)
    return name, check_env(name)


def _agent(options: argparse.Namespace) -> tuple[str, Iterator]:
    """The name of an agent, and the verdicts on it."""
    import jax

    from rlseq import registry
    from rlseq.laws.agents import DEVICES
    from rlseq.laws.check_agent import check_agent

    with contextlib.suppress(RuntimeError):  # JAX has begun already
        jax.config.update("jax_num_cpu_devices", DEVICES)
    name = registry.take("agent", options.name) if ":" in options.name else options.name
    return name, check_agent(name, options.overrides)


_WORDS = ((True, "hold"), (False, "broken"), (None, "not checked"))
