"""Jobs of a campaign by a launcher of Hydra: joblib, submitit (also SLURM), Ray, or any other."""

import contextlib
import dataclasses
import importlib.util
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import hydra
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rlseq import config as configuration
from rlseq import config_plugins, overrides
from rlseq.config_errors import first_line
from rlseq.errors import InputError, LauncherError, missing_package, unknown_name
from rlseq.train import files
from rlseq.train.campaign import locks, plan, share
from rlseq.train.campaign import state as states
from rlseq.train.campaign.plan import Entry
from rlseq.train.campaign.progress import Board, Progress, summary
from rlseq.train.campaign.worker import ALIVE, STOP, Task
from rlseq.train.stop import Interrupted, Stop

GROUP = "hydra/launcher"
BASIC = "basic"  # Hydra's own: one after another
# Launchers of other packages: the extra, the package and its module.
EXTRAS = {
    "joblib": ("joblib", "hydra-joblib-launcher", "hydra_joblib_launcher"),
    "submitit_local": ("submitit", "hydra-submitit-launcher", "hydra_submitit_launcher"),
    "submitit_slurm": ("submitit", "hydra-submitit-launcher", "hydra_submitit_launcher"),
    "ray": ("ray", "hydra-ray-launcher", "hydra_ray_launcher"),
}
_CONFIG = "rlseq_launch"  # a Hydra configuration whose only key is the number of a job
_OPEN = "hydra.launcher.ray."  # begins keys of which any may be added: arguments of Ray's functions
_ADDRESS = "++hydra.launcher.ray.init.address="
# Not `disabled`, which silences rlseq's own warnings and closes the files of this process's logs.
_LOGGING = ("hydra/hydra_logging=none", "hydra/job_logging=none")
_TICK = 0.2  # seconds until the next look


class Launcher(NamedTuple):
    """A launcher as it was asked for."""

    name: str
    words: list[str]  # hydra.KEY=VALUE
    settings: DictConfig  # of `hydra.launcher`


def find(name: str, words: Sequence[str]) -> Launcher:
    """The launcher of a name, with settings `hydra.launcher.KEY=VALUE`.

    Raises InputError for one that is unknown or not installed, and for unknown settings.
    """
    if name in EXTRAS:
        extra, package, module = EXTRAS[name]
        if not _installed(module):
            raise missing_package(f"the launcher {name!r}", package, extra)
    words = [f"++{word}" if word.startswith(_OPEN) else word for word in words]
    if any(word.startswith(_ADDRESS) for word in words):  # else the launcher, 1.2.2, asks for some
        words.append("++hydra.launcher.ray.init.object_store_memory=null")
    ConfigStore.instance().store(name=_CONFIG, node={"job": 0})
    with initialize_config_module(configuration.CONFIG_MODULE, version_base="1.3"):
        known = GlobalHydra.instance().config_loader().get_group_options(GROUP)
        if name not in known:
            raise unknown_name("launcher", name, {*known, *EXTRAS})
        overrides.parse(words)
        try:
            asked = [f"{GROUP}={name}", *words]
            found = hydra_compose(_CONFIG, overrides=asked, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            cause = error.__cause__ or error
            raise InputError(f"launcher {name!r}: {first_line(cause)}") from error
    return Launcher(name, words, found.hydra.launcher)


def run(entries: Sequence[Entry], launcher: Launcher, again: str) -> list[str]:
    """Run or resume what is not done by a launcher; a line for each job that failed.

    A job that another process runs is left out. Returns when the launcher does.

    Raises InputError for a folder that holds something else than its job, before anything starts;
    Interrupted after a signal, when every job has saved and ended; LauncherError; CannotWrite.
    """
    for entry in entries:
        plan.check_same(entry)
    progress = Progress(entries)
    lines = progress.lines()
    running = [line.entry for line in lines if line.state.kind == states.RUNNING]
    missing = [one.entry for one in lines if one.state.kind not in (states.DONE, states.RUNNING)]
    slots = at_a_time(launcher, len(missing))
    board = Board(progress, slots or len(missing) or 1)
    for entry in running:
        board.say(f"{entry}: another process runs it, left out")
    board.say(summary(lines, board.jobs))
    if not missing:
        return []
    before = [states.failed_at(entry) for entry in missing]
    with launch(missing, slots) as task, Stop() as stop, board, _watch(stop, board, task.folder):
        try:
            multirun(task, launcher, len(missing))
        finally:
            wait_for(missing, lambda: stop.requested)
    board.say(summary(progress.lines(), board.jobs))
    if stop.requested:
        raise Interrupted(f"interrupted, what ran is saved; continue with: {again}")
    return [
        f"{entry}: {states.failure(entry)}"
        for entry, earlier in zip(missing, before, strict=True)
        if states.failed_at(entry) not in (None, earlier)
    ]


def at_a_time(launcher: Launcher, jobs: int) -> int | None:
    """How many of some jobs share this machine; None where the launcher goes to others."""
    settings, cpus = launcher.settings, share.count()
    match launcher.name:
        case "basic":
            found = 1
        case "joblib":
            found = settings.n_jobs if settings.n_jobs > 0 else cpus + 1 + settings.n_jobs
        case "submitit_local":  # which starts all at once: the others wait
            found = cpus // (settings.cpus_per_task or 1)
        case "ray" if not settings.ray.init.get("address"):
            all_of_it = settings.ray.init.get("num_cpus") or cpus
            found = int(all_of_it / (settings.ray.remote.get("num_cpus") or 1))
        case _:
            return None
    return max(min(found, jobs), 1)


def hydra_multirun(task: Callable[[DictConfig], None], config: str, words: Sequence[str]) -> None:
    """Hydra's multirun of a task, with words as a command line has them. Logging stays as it is.

    Raises InputError for words that do not compose, and what the first failed task raised.
    """
    entry = hydra.main(f"pkg://{configuration.CONFIG_MODULE}", config, version_base="1.3")(task)
    arguments, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [arguments[0], "--multirun", *words, *_LOGGING]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints errors itself and exits with 1
    try:
        entry()
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(" ".join(str(error).split())) from error
    finally:
        sys.argv = arguments
        os.environ.pop("HYDRA_FULL_ERROR")
        if full_error is not None:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def folder_words(folder: Path) -> list[str]:
    """Words that make Hydra write to a folder and nowhere else."""
    place = overrides.quoted(str(folder))
    words = [f"hydra.sweep.dir={place}", "hydra.sweep.subdir=.", "hydra.output_subdir=null"]
    return [*words, f"hydra.run.dir={place}"]


def multirun(task: Task, launcher: Launcher, jobs: int) -> None:
    """Let a launcher run all jobs of a task. Raises LauncherError, unless they were stopped."""
    # Hydra's and the launcher's own files are kept: submitit's hold the output of its processes.
    words = [f"job=range(0,{jobs})", f"{GROUP}={launcher.name}", *launcher.words]
    words += folder_words(task.folder.parent / "launcher")
    try:
        hydra_multirun(task, _CONFIG, words)
    except (InputError, files.CannotWrite):
        raise
    except Exception as error:  # of whatever launcher
        if not (task.folder / STOP).exists():
            said = f"{type(error).__name__}: {first_line(error)}"
            raise LauncherError(f"the launcher {launcher.name!r} failed: {said}") from error


@contextlib.contextmanager
def launch(entries: Sequence[Entry], slots: int | None) -> Iterator[Task]:
    """The task of these jobs; their files are written, and the launch is alive meanwhile."""
    jobs = entries[0].file("lock").parent.absolute()
    folder = jobs / f"launch-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier process of that number
    files.make_folder(folder)
    written, modules = [], dict[str, None]()
    for entry in entries:
        run = dataclasses.replace(entry.config.run, dir=str(entry.folder.absolute()))
        config = dataclasses.replace(entry.config, run=run)
        modules |= dict.fromkeys(config_plugins.modules(dataclasses.asdict(config)))
        written.append(entry.file("yaml").absolute())
        files.write_atomic(written[-1], configuration.to_yaml(config))
    alive = locks.take(folder / ALIVE)
    assert alive is not None  # the folder is this process's own
    with alive:
        yield Task(written, list(modules), folder, slots)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _watch(stop: Stop, board: Board, folder: Path) -> Iterator[None]:
    """Meanwhile show the progress, and pass a signal on to the jobs, wherever they are."""
    ended = threading.Event()

    def watch() -> None:
        told = False
        while not ended.wait(_TICK):
            if stop.requested and not told:
                told = True
                (folder / STOP).touch()
                board.say("stopping after the chunks in flight; a second Ctrl-C leaves at once")
            with contextlib.suppress(InputError):  # raised again when all is over
                board.refresh()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def wait_for(entries: Sequence[Entry], stopped: Callable[[], bool]) -> None:
    """After a stop, until every job has saved and ended, also where the launcher gave up."""
    pause = threading.Event()
    while stopped() and any(locks.held(entry.file("lock")) for entry in entries):
        pause.wait(_TICK)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(f"hydra_plugins.{module}") is not None
    except ModuleNotFoundError:  # no plug-in of Hydra at all
        return False
