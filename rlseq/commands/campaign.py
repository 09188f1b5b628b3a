"""`rlseq campaign`."""

import argparse
import shlex
from pathlib import Path

from rlseq.commands import DONE, jobs
from rlseq.errors import InputError

ABOUT = "environments x cores x agents x seeds of a YAML file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The file, and how its jobs run."""
    parser.add_argument("file", help="the campaign: a YAML file")
    parser.add_argument("--status", action="store_true", help="print the progress, run nothing")
    jobs.add_jobs(parser)
    jobs.add_launcher(parser)
    parser.add_argument(
        "overrides", nargs="*", metavar="hydra.launcher.KEY=VALUE", help="settings of the launcher"
    )


def run(options: argparse.Namespace) -> int:
    """Print the progress, or run or resume what is missing."""
    from rlseq.train.campaign import file, plan, progress

    path = _take_file(options)
    found = file.read(path)
    if options.status:
        for entry in found.entries:
            plan.check_same(entry)
        progress.show(progress.Progress(found.entries).lines(), options.jobs)
        return DONE
    again = shlex.join(["rlseq", "campaign", str(path), *jobs.words_of(options)])

    def work() -> list[str]:
        failed = jobs.run(found.entries, options, again)
        _say_next(found.root)
        return failed

    return jobs.exit_code(work, again, len(found.entries))


def _take_file(options: argparse.Namespace) -> Path:
    """The file, which may stand behind settings; argparse gives its place to the first word."""
    options.overrides = [options.file, *options.overrides]
    words, options.overrides = jobs.split(options)
    if not words:
        raise InputError(f"rlseq campaign needs a YAML file, got only {options.file}")
    path, *others = words
    if others:
        raise InputError(
            f"settings of a launcher read {jobs.SETTING}KEY=VALUE, got {others[0]}; "
            "words of the runs stand in the file, below `overrides:`"
        )
    return Path(path)


def _say_next(root: Path) -> None:
    place = shlex.quote(str(root))
    out = shlex.quote(str(root / "report"))
    print(f"scores and curves: rlseq report {place} --out {out}", flush=True)
