"""The folder of a sweep in one program: `sweep.yaml` beside a run folder for each setting."""

import contextlib
import dataclasses
import itertools
import time
from pathlib import Path

from omegaconf import OmegaConf

from rlseq import config_yaml, fields
from rlseq.config import RunConfig
from rlseq.errors import InputError
from rlseq.train import files, runs
from rlseq.train.runs import Run
from rlseq.train.swept import space
from rlseq.train.swept.program import Program
from rlseq.train.swept.space import Sweep

FILE = "sweep.yaml"  # what is swept, and the mesh of all settings together


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds the runs of a sweep in one program."""
    return (folder / FILE).is_file()


def refuse(mesh: str | None, processes: str | None) -> None:
    """Raise InputError for what `rlseq resume` takes for single runs alone."""
    if mesh is not None or processes is not None:
        raise InputError("--mesh and --distributed are for single runs, and this is a sweep")


def create(program: Program) -> Path:
    """A new folder with a run folder for each setting. Raises CannotWrite."""
    sweep = program.sweep
    folder = _new_folder(Path(sweep.config.run.root))
    for job, values in zip(program.jobs, sweep.settings, strict=True):
        place = str(folder / space.label(values))
        own = dataclasses.replace(job.config, run=dataclasses.replace(job.config.run, dir=place))
        runs.create(own, job.agent.env.spec.settings)
    about = {"vmap": space.lists_of(sweep.settings), "mesh": sweep.config.run.mesh}
    about["pbt"] = sweep.pbt and sweep.pbt._asdict()
    text = OmegaConf.to_yaml(OmegaConf.create(about))
    files.write_atomic(folder / FILE, text)  # last: with it the folder is whole
    return folder


def _new_folder(root: Path) -> Path:
    files.make_folder(root)
    stem = f"sweep-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (f"{stem}-{i}" if i else stem for i in itertools.count())
    with files.writing("the folder of the sweep", root):
        for name in names:
            with contextlib.suppress(FileExistsError):
                (root / name).mkdir()
                return root / name
    raise AssertionError("names never end")


def open_sweep(folder: Path) -> tuple[Sweep, list[Run]]:
    """A sweep and its runs, in the order of its settings.

    Raises InputError where a run is missing or not the sweep's.
    """
    about = config_yaml.read(folder / FILE)
    lists = about.get("vmap")
    names = sorted(path.parent.name for path in folder.glob(f"*/{runs.CONFIG_FILE}"))
    if not isinstance(lists, dict) or not lists or not names:
        raise InputError(f"{folder / FILE} names no hyper-parameters of runs beside it")
    first = runs.open_run(folder / names[0]).config
    mesh = fields.check("mesh", fields.of(RunConfig)["mesh"], about.get("mesh"))
    bare = dataclasses.replace(first, run=dataclasses.replace(first.run, dir=None, mesh=mesh))
    sweep = space.of(bare, lists, about.get("pbt"))
    found = [runs.open_run(folder / space.label(values)) for values in sweep.settings]
    for run, values in zip(found, sweep.settings, strict=True):
        wanted = sweep.member(values)
        if dataclasses.replace(run.config, run=wanted.run) != wanted:
            raise InputError(f"{str(run.folder)!r} holds a run of another configuration")
    return sweep, found
