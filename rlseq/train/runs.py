"""A run folder: everything that is needed to look at a run, judge it and carry it on."""

import contextlib
import fcntl
import platform
import subprocess
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import jax

import rlseq
from rlseq import config as configuration
from rlseq.config import Config
from rlseq.errors import InputError
from rlseq.train.files import write_atomic

CONFIG_FILE = "config.yaml"
PACKAGES = ("rlseq", "jax", "jaxlib", "flax", "optax", "gymnax", "gymnasium", "ale-py")


class Busy(InputError):
    """Another process is training in the folder."""


class Run(NamedTuple):
    """A folder and the configuration it was started with."""

    folder: Path
    config: Config


def create(config: Config, played: str = "") -> Run:
    """A new run folder with `config.yaml` and `env.txt`.

    `played`, if there is something to say, is how the environment is played, for `env.txt`.
    Raises InputError where `run.dir` exists already: nothing is ever overwritten.
    """
    folder = _new_folder(config)
    for name in ("checkpoints", "plots"):
        (folder / name).mkdir()
    settings = f"environment settings: {played}\n" if played else ""
    write_atomic(folder / "env.txt", surroundings() + settings)
    write_atomic(folder / CONFIG_FILE, configuration.to_yaml(config))
    return Run(folder, config)


def open_run(path: str | Path) -> Run:
    """An existing run. Raises InputError if the folder is missing or holds no run."""
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"no run folder {str(folder)!r}{_runs_beside(folder)}")
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(
            f"{str(folder)!r} is not a run: it holds no {CONFIG_FILE}{_runs_beside(folder / '_')}"
        )
    return Run(folder, configuration.load(folder / CONFIG_FILE))


def extend(run: Run, total_steps: int) -> Run:
    """The same run with another `total_steps`, written to its folder. Raises InputError."""
    if total_steps < 1:
        raise InputError(f"total_steps must be at least 1, got {total_steps}")
    run.config.total_steps = total_steps
    write_atomic(run.folder / CONFIG_FILE, configuration.to_yaml(run.config))
    return run


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder alone; a killed process lets go of it. Raises Busy if taken."""
    with open(folder / ".lock", "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another process is training in {str(folder)!r}") from None
        yield


def surroundings() -> str:
    """Time, versions, hardware and commit, one `name: value` a line."""
    lines = [f"started: {time.strftime('%Y-%m-%dT%H:%M:%S%z')}"]
    lines += [f"python: {platform.python_version()}", f"platform: {platform.platform()}"]
    lines += [f"{name}: {_version(name)}" for name in PACKAGES]
    lines += [f"cpu: {_cpu()}", f"devices: {', '.join(str(d) for d in jax.devices())}"]
    lines += [f"device kind: {jax.devices()[0].device_kind}", f"commit: {_commit()}"]
    return "\n".join(lines) + "\n"


def read_surroundings(folder: Path) -> dict[str, str]:
    """What `surroundings` wrote when the run began; empty without the file."""
    file = folder / "env.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def _new_folder(config: Config) -> Path:
    if config.run.dir is not None:
        folder = Path(config.run.dir)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            raise InputError(
                f"run.dir {str(folder)!r} exists already and is not overwritten: name another, "
                f"or carry it on with `rlseq resume {folder}`"
            ) from None
        return folder
    env = config.env.id.replace(":", "-").replace("/", "-")
    stem = f"{env}-{config.core['name']}-{config.agent['name']}-{time.strftime('%Y%m%d-%H%M%S')}"
    return _first_free(Path(config.run.root), stem)


def _first_free(root: Path, stem: str) -> Path:
    tries = 0
    while True:
        folder = root / (stem if tries == 0 else f"{stem}-{tries + 1}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if not folder.is_dir():
                raise InputError(f"{str(folder)!r} is in the way: it is no folder") from None
            tries += 1


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
