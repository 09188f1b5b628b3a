"""`rlseq bench`."""

import argparse
import sys
from functools import partial
from pathlib import Path

from rlseq.commands import DONE, arguments
from rlseq.errors import check_names

ABOUT = "measure scans, PPO, environments, cores and meshes here"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is measured, at which sizes, and the output."""
    names = "scans, ppo (default: these two), envs, atari, cores, scale, choices"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument(
        "--cores", type=arguments.names, default=[], help="of cores: s5,gru (default: all)"
    )
    ids = "of envs and atari: popgym:AutoencodeEasy,..."
    parser.add_argument("--envs", type=arguments.names, default=[], help=ids)
    sizes = "of envs: numbers of copies, and nothing but these: 64"
    parser.add_argument("--sizes", type=arguments.counts, default=[], help=sizes)
    parser.add_argument(
        "--lengths", type=arguments.counts, default=[], help="of cores: 128,1024,8192"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes of envs, atari, cores, choices; one round of scale",
    )
    where = "folder to add to: results/core_costs, env_speed, atari_speed, scale; choices: the file"
    parser.add_argument("--output", type=Path, help=where)
    docs = "cores: measure nothing, write cards and stored figures into this page"
    parser.add_argument("--docs", type=Path, help=docs)


def run(options: argparse.Namespace) -> int:
    """Measure, and print tables."""
    from rlseq.analysis.bench import BENCHES, LONG, as_table, run_bench

    check_names("benchmark", options.names, [*BENCHES, *LONG])
    for name in options.names or BENCHES:
        if name == "choices":
            _choices(options)
            continue
        print(f"{name}: {(BENCHES | LONG)[name]}", flush=True)
        if name == "cores":
            _cores(options)
        elif name in ("envs", "atari"):
            _envs(options, name)
        elif name == "scale":
            _scale(options)
        else:
            print(as_table(run_bench(name)), flush=True)
    return DONE


def _cores(options: argparse.Namespace) -> None:
    from rich.console import Console

    from rlseq.analysis.bench import core_docs, core_plot, core_report, cores

    folder = options.output or Path("results/core_costs")
    if options.docs:
        core_docs.insert(options.docs, core_report.load_rows(folder))
        return
    show = partial(print, flush=True)
    rows = cores.run(folder, options.cores, options.lengths, quick=options.quick, show=show)
    Console().print(core_report.table(rows))
    print(core_plot.write(folder, core_report.load_rows(folder)))  # with those of earlier calls


def _envs(options: argparse.Namespace, name: str) -> None:
    from rlseq.analysis.bench import as_table, atari, envs

    bench, place = {"envs": (envs, "env_speed"), "atari": (atari, "atari_speed")}[name]
    folder = options.output or Path("results") / place
    show = partial(print, flush=True)
    sized = {"sizes": options.sizes} if name == "envs" else {}
    print(as_table(bench.run(folder, options.envs, quick=options.quick, show=show, **sized)))


def _scale(options: argparse.Namespace) -> None:
    from rlseq.analysis.bench import as_table, scale

    folder = options.output or Path("results/scale")
    repeats = 1 if options.quick else scale.REPEATS
    print(as_table(scale.run(folder, repeats=repeats, show=partial(print, flush=True))))


def _choices(options: argparse.Namespace) -> None:
    from rlseq.analysis.bench import choices
    from rlseq.train.files import write_atomic

    def show(line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # the table itself goes to the output

    lengths, sizes = choices.QUICK if options.quick else (choices.LENGTHS, ())
    text = choices.as_text(choices.table(lengths=lengths, sizes=sizes, show=show))
    if options.output:
        write_atomic(options.output, text)
    else:
        print(text, end="")
