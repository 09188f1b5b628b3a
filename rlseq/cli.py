"""The command line: parses, calls, prints. Everything heavy is imported inside its command."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rlseq.errors import InputError, check_names, unknown_name

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

_EXAMPLES = """\
examples:
  rlseq train                                                  the quick start
  rlseq train experiment=popgym_ppo core=gru agent.lr=1e-4 seeds=4
  rlseq train -m core=s5,gru,lstm seed=0,1                     a sweep of six runs
  rlseq resume runs/NAME                                       carry on, bit for bit
  rlseq eval runs/NAME --episodes 200 --greedy
  rlseq plot runs/* --out figures
  rlseq report runs/* --out report                             scores and intervals, one page
  rlseq atari100k --games Boxing,Pong --seeds 2                runs and resumes what is missing
  rlseq list cores

exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted after saving
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(arguments)
    except InputError as error:
        print(f"rlseq: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("rlseq: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader, `head` say, has seen enough
        return DONE


def _run(arguments: list[str]) -> int:
    parser, commands = _parser()
    first = arguments[0] if arguments else None
    if first and not first.startswith("-") and first not in commands:
        raise unknown_name("command", first, commands)
    options = parser.parse_args(arguments)
    return options.call(options)


def _train(options: argparse.Namespace) -> int:
    from rlseq.train import sweep

    if options.multirun:
        return _guarded(lambda: sweep.multirun(options.overrides))
    from rlseq import config
    from rlseq.train import loop

    return _guarded(lambda: loop.train(config.compose(options.overrides)))


def _resume(options: argparse.Namespace) -> int:
    from rlseq.train import loop, runs

    return _guarded(lambda: loop.resume(runs.open_run(options.run), options.total_steps))


def _eval(options: argparse.Namespace) -> int:
    from rlseq.train import evaluate

    line = evaluate.evaluate_run(
        options.run,
        episodes=options.episodes,
        greedy=options.greedy,
        seed_index=options.seed_index,
        step=options.checkpoint,
    )
    print(line)
    return DONE


def _video(options: argparse.Namespace) -> int:
    from rlseq.analysis.video import film

    line = film(
        options.run,
        options.out,
        episodes=options.episodes,
        steps=options.steps,
        greedy=options.greedy,
        seed_index=options.seed_index,
        step=options.checkpoint,
    )
    print(line)
    return DONE


def _plot(options: argparse.Namespace) -> int:
    from rlseq.analysis.plots import plot_runs

    for path in plot_runs(options.runs, options.out, x=options.x):
        print(path)
    return DONE


def _report(options: argparse.Namespace) -> int:
    from rlseq.analysis import report

    for path in report.write(options.runs, options.out, overwrite=options.overwrite):
        print(path)
    return DONE


def _atari100k(options: argparse.Namespace) -> int:
    from functools import partial

    from rlseq.train import suite

    show = partial(print, flush=True)
    asked = options.experiment, options.games, options.seeds, options.root, options.overrides
    entries = suite.plan(*asked)
    if options.dry_run:
        for entry in entries:
            show(f"{entry.folder}  {suite.state(entry)}")
        return DONE
    return _guarded(lambda: _run_suite(entries, show))


def _run_suite(entries, show) -> None:
    from rlseq.analysis import report
    from rlseq.train import loop, suite

    failed = suite.run_all(entries, show)
    done = [entry.folder for entry in entries if suite.state(entry).complete]
    if done:
        out = entries[0].folder.parent / "report"
        show(f"report on {len(done)} of {len(entries)} runs:")
        for path in report.write(done, out, overwrite=True):
            show(path)
    if failed:
        raise loop.NonFinite("; ".join(failed))


def _imagine(options: argparse.Namespace) -> int:
    from rlseq.analysis.imagine import film_imagination

    line = film_imagination(
        options.run,
        options.out,
        context=options.context,
        horizon=options.horizon,
        start=options.start,
        greedy=options.greedy,
        seed_index=options.seed_index,
        step=options.checkpoint,
    )
    print(line)
    return DONE


def _list(options: argparse.Namespace) -> int:
    from rlseq.train.listing import listing

    entries = listing(options.kind)
    width = max((len(name) for name, _ in entries), default=0)
    for name, about in entries:
        print(f"{name:<{width}}  {about}".rstrip())
    return DONE


def _plan(options: argparse.Namespace) -> int:
    from rlseq import config
    from rlseq.train.plan import plan

    for what, amount in plan(config.compose(options.overrides)):
        print(f"{what:<32}{amount}")
    return DONE


def _bench(options: argparse.Namespace) -> int:
    from rlseq.analysis.bench import BENCHES, LONG, as_table, run_bench

    check_names("benchmark", options.names, [*BENCHES, *LONG])
    for name in options.names or BENCHES:
        if name == "choices":
            _bench_choices(options)
            continue
        print(f"{name}: {(BENCHES | LONG)[name]}", flush=True)
        if name == "cores":
            _bench_cores(options)
        elif name in ("envs", "atari"):
            _bench_envs(options, name)
        else:
            print(as_table(run_bench(name)), flush=True)
    return DONE


def _bench_cores(options: argparse.Namespace) -> None:
    from functools import partial

    from rich.console import Console

    from rlseq.analysis.bench import core_docs, core_plot, core_report, cores

    folder = options.output or Path("results/core_costs")
    if options.docs:
        core_docs.insert(options.docs, core_report.load_rows(folder))
        return
    show = partial(print, flush=True)
    rows = cores.run(folder, options.cores, options.lengths, quick=options.quick, show=show)
    Console().print(core_report.table(rows))
    print(core_plot.write(folder, rows))


def _bench_envs(options: argparse.Namespace, name: str) -> None:
    from functools import partial

    from rlseq.analysis.bench import as_table, atari, envs

    bench, place = {"envs": (envs, "env_speed"), "atari": (atari, "atari_speed")}[name]
    folder = options.output or Path("results") / place
    show = partial(print, flush=True)
    print(as_table(bench.run(folder, options.envs, quick=options.quick, show=show)))


def _bench_choices(options: argparse.Namespace) -> None:
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


def _gallery(options: argparse.Namespace) -> int:
    from functools import partial

    from rlseq.analysis.gallery import gallery

    gallery(options.out, options.envs, show=partial(print, flush=True))
    return DONE


def _export(options: argparse.Namespace) -> int:
    from rlseq.train.evaluate import export_run

    for path in export_run(options.run, options.out, step=options.checkpoint):
        print(path)
    return DONE


def _guarded(train) -> int:
    """Training, with its ways to end early as exit codes."""
    from rlseq.train.loop import Interrupted, NonFinite
    from rlseq.train.outside import OutsideFault

    try:
        train()
    except Interrupted as saved:
        print(f"rlseq: {saved}", file=sys.stderr)
        return INTERRUPTED
    except (NonFinite, OutsideFault) as error:
        print(f"rlseq: {error}", file=sys.stderr)
        return FAILED
    return DONE


def _parser() -> tuple[argparse.ArgumentParser, list[str]]:
    parser = argparse.ArgumentParser(
        prog="rlseq",
        description="Reinforcement learning with memory in JAX.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, call, about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about)
        added.set_defaults(call=call)
        return added

    train = command("train", _train, "start a run, or a sweep of runs with -m")
    train.add_argument("-m", "--multirun", action="store_true", help="sweep: core=s5,gru seed=0,1")
    _add_overrides(train)
    resume = command("resume", _resume, "carry a run on from its newest checkpoint")
    resume.add_argument("run", help="the run folder")
    resume.add_argument("--total-steps", type=_count, help="a longer run than it was started with")
    _add_eval(command("eval", _eval, "play fresh episodes with a trained policy"))
    _add_video(command("video", _video, "film a trained policy: GIF or MP4"))
    dream = command("imagine", _imagine, "film what a world model foresees beside what came")
    dream.add_argument("--context", type=_count, default=16, help="steps it sees (default: 16)")
    dream.add_argument("--horizon", type=_count, default=48, help="steps imagined (default: 48)")
    dream.add_argument("--start", type=int, default=0, help="steps of the episode before them")
    _add_film(dream)
    plot = command("plot", _plot, "draw learning curves as PNG and SVG")
    plot.add_argument("runs", nargs="+", metavar="RUN", help="run folders")
    plot.add_argument("--out", type=Path, help="folder to write to (one run: its plots/)")
    plot.add_argument("--x", default="steps", help="steps (the default) or seconds")
    report = command("report", _report, "scores, intervals and curves of runs as one page")
    report.add_argument("runs", nargs="+", metavar="RUN", help="run folders, or folders of them")
    report.add_argument("--out", type=Path, required=True, help="the folder to write to")
    report.add_argument("--overwrite", action="store_true", help="replace an earlier report there")
    suite = command("atari100k", _atari100k, "games x seeds of an experiment, then a report")
    suite.add_argument("--games", type=_names, default=["all"], help="Boxing,Pong (default: all)")
    suite.add_argument("--seeds", type=_count, default=5, help="of each game (default: 5)")
    suite.add_argument("--experiment", default="atari100k_drama", help="default: atari100k_drama")
    suite.add_argument("--root", type=Path, help="of the run folders: runs/EXPERIMENT-CORE")
    suite.add_argument("--dry-run", action="store_true", help="print the plan, run nothing")
    _add_overrides(suite)
    listed = command("list", _list, "names that can go on the command line")
    listed.add_argument(
        "kind", metavar="KIND", help="cores, envs, experiments, agents or world_models"
    )
    _add_overrides(command("plan", _plan, "sizes, memory and FLOPs of a run; trains nothing"))
    _add_bench(command("bench", _bench, "measure scans, PPO, environments and cores here"))
    drawn = command("gallery", _gallery, "draw every environment: GIFs and strips over time")
    drawn.add_argument("out", type=Path, help="the folder to write to")
    drawn.add_argument("--envs", type=_names, default=[], help="popgym:AutoencodeEasy,...")
    export = command("export", _export, "write the weights as a flat .npz and a .json")
    export.add_argument("run", help="the run folder")
    export.add_argument("out", type=Path, help="the new .npz file")
    export.add_argument("--checkpoint", metavar="STEP", help="step or `best` (default: newest)")
    return parser, list(commands.choices)


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="experiment=NAME core=NAME env.id=ID agent.lr=1e-4 seeds=4 run.dir=FOLDER ...",
    )


def _add_eval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--episodes", type=_count, default=128, help="per seed (default: 128)")
    parser.add_argument("--greedy", action="store_true", help="the likeliest action, not a sample")
    parser.add_argument("--seed-index", type=int, help="one of the run's seeds (default: all)")
    parser.add_argument("--checkpoint", metavar="STEP", help="step or `best` (default: newest)")


def _add_video(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--episodes", type=_count, default=1, help="how many (default: 1)")
    parser.add_argument("--steps", type=_count, default=3000, help="at most (default: 3000)")
    _add_film(parser)


def _add_film(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="the run folder")
    parser.add_argument("--out", type=Path, required=True, help="a new .gif or .mp4 file")
    parser.add_argument("--greedy", action="store_true", help="the likeliest action, not a sample")
    parser.add_argument("--seed-index", type=int, default=0, help="which seed (default: 0)")
    parser.add_argument("--checkpoint", metavar="STEP", help="step or `best` (default: newest)")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    names = "scans, ppo (default: these two), envs, atari, cores, choices"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--cores", type=_names, default=[], help="of cores: s5,gru (default: all)")
    parser.add_argument(
        "--envs", type=_names, default=[], help="of envs and atari: popgym:AutoencodeEasy,..."
    )
    parser.add_argument("--lengths", type=_counts, default=[], help="of cores: 128,1024,8192")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes of envs, atari, cores, choices"
    )
    where = "folder to add to: results/core_costs, env_speed, atari_speed; choices: the file"
    parser.add_argument("--output", type=Path, help=where)
    parser.add_argument(
        "--docs",
        type=Path,
        help="cores: measure nothing, write cards and held figures into this page",
    )


def _names(text: str) -> list[str]:
    return text.split(",")


def _counts(text: str) -> list[int]:
    return [_count(one) for one in text.split(",")]


def _count(text: str) -> int:
    value = float(text)
    if value != int(value) or value < 1:
        raise ValueError(text)
    return int(value)


_count.__name__ = _counts.__name__ = "whole number"  # argparse says "invalid whole number value"
