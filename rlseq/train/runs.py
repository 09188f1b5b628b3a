"""A run folder: everything needed to inspect, evaluate and resume a run."""

import contextlib
import dataclasses
import errno
import fcntl
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import jax

import rlseq
from rlseq import config as configuration
from rlseq import config_plugins, fields, plugins
from rlseq.config import Config
from rlseq.errors import InputError
from rlseq.schema import TotalSteps
from rlseq.train import checkpoint, files
from rlseq.train.files import write_atomic

CONFIG_FILE, ENVIRONMENT_FILE = "config.yaml", "env.txt"
MODEL_FILE = "model.safetensors"  # of a model folder, which is no run: `rlseq.train.models`
PACKAGES = ("rlseq", "jax", "jaxlib", "flax", "optax", "gymnax", "gymnasium", "ale-py")
_NEW, _MINUTE = ".new-", 60.0  # seconds


class Busy(InputError):
    """Another process is training in the folder."""


class Run(NamedTuple):
    """A folder and the configuration it was started with."""

    folder: Path
    config: Config


def create(config: Config, played: str = "") -> Run:
    """A new run folder with `config.yaml` and `env.txt`: whole, or not there.

    `played`, if there is something to say, is how the environment is played, for `env.txt`.
    Raises InputError where `run.dir` exists already: nothing is ever overwritten; and CannotWrite.
    """
    parent, stem = _place(config)
    check_path(parent / stem)
    settings = f"environment settings: {played}\n" if played else ""
    texts = {
        ENVIRONMENT_FILE: environment_info() + settings,
        CONFIG_FILE: configuration.to_yaml(config),
    }
    files.make_folder(parent)
    _sweep_unfinished(parent)
    beside = parent / f"{_NEW}{stem}-{os.getpid()}"
    with files.writing("the run folder", parent):
        try:
            files.remove(beside)
            for name in ("checkpoints", "plots"):
                (beside / name).mkdir(parents=True)
            for name, text in texts.items():
                files.write_atomic(beside / name, text)
            folder = _settle(beside, parent / stem, config.run.dir is not None)
        finally:
            files.remove(beside)
        files.sync_folder(parent)
    return Run(folder, config)


def open_run(path: str | Path) -> Run:
    """An existing run. Raises InputError if the folder is missing or holds no run."""
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"no run folder {str(folder)!r}{_runs_beside(folder)}")
    check_path(folder)
    if never_begun(folder):
        raise InputError(
            f"the run in {str(folder)!r} had not begun when it was ended: start it again with "
            f"`rlseq train ... run.dir={folder}`"
        )
    if (folder / MODEL_FILE).is_file():
        raise InputError(
            f"{str(folder)!r} is a model, not a run: it can be evaluated, and a new run begins "
            f"with its weights by `rlseq train ... init_from={folder}`"
        )
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(
            f"{str(folder)!r} is not a run: it holds no {CONFIG_FILE}{_runs_beside(folder / '_')}"
        )
    return Run(folder, configuration.load(folder / CONFIG_FILE))


def open_runs(paths: Sequence[str | Path]) -> list[Run]:
    """The runs of run folders, or folders of them, each once. Raises InputError as `open_run`."""
    found: dict[Path, Run] = {}
    for path in map(Path, paths):
        inside = sorted(file.parent for file in path.glob(f"*/{CONFIG_FILE}"))
        own = not inside or (path / CONFIG_FILE).exists()
        for folder in [path] if own else inside:
            found.setdefault(folder.resolve(), open_run(folder))
    return list(found.values())


def check_end(folder: Path, total_steps: int | None) -> None:
    """Raise InputError for a new end of a run that lies behind what is trained."""
    done = checkpoint.steps(folder / "checkpoints")
    if total_steps is not None and done and total_steps < done[-1]:
        raise InputError(f"total_steps = {total_steps}, but {done[-1]} are done already")


def changed(config: Config, total_steps: int | None, mesh: str | None) -> Config:
    """A run's configuration with what a start of it changes for good; None: nothing.

    A `mesh` of "null" is none. Raises InputError for too many steps.
    """
    if total_steps is not None:
        fields.check("total_steps", TotalSteps, total_steps)
        config = dataclasses.replace(config, total_steps=total_steps)
    if mesh is not None:
        run = dataclasses.replace(config.run, mesh=None if mesh == "null" else mesh)
        config = dataclasses.replace(config, run=run)
    return config


def keep_config(folder: Path, config: Config) -> None:
    """Write a changed configuration to the folder of its run. Raises CannotWrite."""
    write_atomic(folder / CONFIG_FILE, configuration.to_yaml(config))


def in_command(folder: Path, config: Config) -> str:
    """A run as commands take it: its folder, then "--plugins" where it needs any."""
    return f"{folder}{config_plugins.flags(dataclasses.asdict(config))}"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder, without what kills left in it; a killed process releases it.

    Raises Busy if it is taken, and CannotWrite.
    """
    with files.writing("the lock of the run", folder):
        file = open(folder / ".lock", "w", encoding="utf-8")  # noqa: SIM115
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another process is training in {str(folder)!r}") from None
        files.sweep(folder)
        checkpoint.sweep(folder / "checkpoints")
        yield


def never_begun(folder: Path) -> bool:
    """Whether a kill left a folder before its run began, as earlier versions could."""
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    about = folder / ENVIRONMENT_FILE
    return (
        bool(names)
        and names <= {"checkpoints", "plots", about.name}
        and not any(path.is_file() for path in folder.glob("*/**/*"))
        and (not about.exists() or files.read(about).startswith(b"started: "))
    )


def check_path(folder: Path) -> None:
    """Raise InputError for a path that does not go into UTF-8, as checkpoints need it."""
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{str(folder.absolute())!r} is no UTF-8 here: name it in ASCII, or set LC_ALL=C.UTF-8"
        ) from None


def environment_info() -> str:
    """Time, versions, hardware and commit, one `name: value` a line."""
    lines = [f"started: {time.strftime('%Y-%m-%dT%H:%M:%S%z')}"]
    lines += [f"python: {platform.python_version()}", f"platform: {platform.platform()}"]
    lines += [f"{name}: {_version(name)}" for name in PACKAGES]
    lines += [f"cpu: {_cpu()}", f"devices: {', '.join(str(d) for d in jax.devices())}"]
    lines += [f"processes: {jax.process_count()}"] if jax.process_count() > 1 else []
    lines += [f"device kind: {jax.devices()[0].device_kind}", f"commit: {_commit()}"]
    return "\n".join(lines) + "\n"


def read_environment_info(folder: Path) -> dict[str, str]:
    """What `environment_info` wrote when the run began; empty without the file."""
    file = folder / ENVIRONMENT_FILE
    lines = files.read(file).decode(errors="replace").splitlines() if file.exists() else []
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def _place(config: Config) -> tuple[Path, str]:
    """(parent, name) of a new folder. Raises InputError for a `run.dir` that is taken."""
    if config.run.dir is not None:
        folder = Path(config.run.dir)
        if folder.is_dir() and never_begun(folder):
            files.remove(folder)
        if folder.exists() or folder.is_symlink():
            raise _taken(folder)
        folder = folder.absolute() if not folder.name else folder
        return folder.parent, folder.name
    names = config.env.id, config.core["name"], config.agent["name"]
    stem = "-".join([*map(plugins.bare, names), time.strftime("%Y%m%d-%H%M%S")])
    return Path(config.run.root), stem.replace(":", "-").replace("/", "-")


def _settle(beside: Path, folder: Path, named: bool) -> Path:
    """Rename into place: of a folder that was not `named`, the first place that is free."""
    tries, place = 1, folder
    while True:
        try:
            if place.exists() and not place.is_dir() and not named:
                raise InputError(f"{str(place)!r} is in the way: it is no folder")
            if not place.exists():  # an empty folder would be replaced
                os.rename(beside, place)
                return place
        except OSError as error:  # another process was quicker
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        if named:
            raise _taken(folder)
        tries += 1
        place = folder.with_name(f"{folder.name}-{tries}")


def _taken(folder: Path) -> InputError:
    return InputError(
        f"run.dir {str(folder)!r} exists already and is not overwritten: name another, "
        f"or continue it with `rlseq resume {folder}`"
    )


def _sweep_unfinished(parent: Path) -> None:
    """Remove what kills left of unfinished run folders, which takes milliseconds."""
    for beside in parent.glob(f"{_NEW}*"):
        with contextlib.suppress(OSError):
            if time.time() - beside.stat().st_mtime > _MINUTE:
                files.remove(beside)


def _runs_beside(folder: Path) -> str:
    found = sorted(path.parent.name for path in folder.parent.glob(f"*/{CONFIG_FILE}"))
    return f". Runs in {str(folder.parent)!r}: {', '.join(found[-10:])}" if found else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line for line in lines if line.startswith("model name")]
    if not names:
        return platform.processor() or "unknown"
    return f"{names[0].split(':', 1)[1].strip()} ({len(names)} threads)"


def _commit() -> str:
    root = Path(rlseq.__file__).parent.parent
    if not (root / ".git").exists():
        return "no checkout"
    asked = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
