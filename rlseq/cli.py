"""The command line: a table of `rlseq.commands`, one module a command."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from rlseq import plugins
from rlseq.commands import BAD_INPUT, DONE, FAILED, INTERRUPTED, NAMES
from rlseq.errors import (
    DistributedError,
    HostEnvError,
    HubError,
    InputError,
    LauncherError,
    unknown_name,
)
from rlseq.train import files, process, streams

__all__ = ["BAD_INPUT", "DONE", "FAILED", "INTERRUPTED", "main"]

_EXAMPLES = """\
examples:
  rlseq train                                                  the quick start
  rlseq train experiment=popgym_ppo core=gru agent.lr=1e-4 seeds=4
  rlseq train -m core=s5,gru,lstm seed=0,1                     a sweep of six runs
  rlseq resume runs/NAME                                       carry on, bit for bit
  rlseq eval runs/NAME --episodes 200 --greedy
  rlseq plot runs/* --out figures
  rlseq report runs/* --out report                             scores and intervals, one page
  rlseq table runs/* --csv rows.csv                            every logged row, for pandas
  rlseq campaign memory.yaml --jobs 4                          environments x cores x agents x seeds
  rlseq atari100k --games Boxing,Pong --seeds 2                runs and resumes what is missing
  rlseq search core=s5,gru 'agent.lr=interval(1e-5,1e-3)'       the best of 20 trials
  rlseq export runs/NAME --to model                            to share, or for other code
  rlseq list cores

exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted after saving
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    process.prepare()
    with streams.lasting():
        return process.leave(_exit_code(arguments))


def _exit_code(arguments: list[str]) -> int:
    try:
        return _run(arguments)
    except InputError as error:
        print(f"rlseq: {error}", file=sys.stderr)
        return BAD_INPUT
    except (HostEnvError, HubError, DistributedError, LauncherError) as error:
        print(f"rlseq: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("rlseq: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        print(f"rlseq: {files.one_line(error)}", file=sys.stderr)
        return FAILED


def _run(arguments: list[str]) -> int:
    first = arguments[0] if arguments else None
    if first and not first.startswith("-") and first not in NAMES:
        raise unknown_name("command", first, NAMES)
    options = _parsed(arguments)
    for module in getattr(options, "plugins", ()):
        plugins.load(plugins.allow(module))
    try:
        return options.run_command(options)
    except RuntimeError as error:
        if "rlseq.envs.host" in sys.modules:  # else no environment on the host can have failed
            from rlseq.envs.host import raise_own

            raise_own(error)
        raise


def _parsed(arguments: list[str]) -> argparse.Namespace:
    """Options and words `key=value` in any order: argparse takes words from one place only."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest:
        if not hasattr(options, "overrides") or any(word.startswith("-") for word in rest):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        options.overrides = [*options.overrides, *rest]
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rlseq",
        description="Reinforcement learning with memory in JAX.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in NAMES:
        module = import_module(f"rlseq.commands.{name}")
        command = commands.add_parser(name, help=module.ABOUT, description=module.ABOUT)
        command.set_defaults(run_command=module.run)
        module.add_arguments(command)
    return parser
