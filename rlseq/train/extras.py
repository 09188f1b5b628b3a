"""TensorBoard and Weights & Biases, where they are installed."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlseq.errors import InputError, check_names
from rlseq.train.logging import Extra


class TensorBoard:
    """Event files in the run folder's `tensorboard/`."""

    def __init__(self, folder: Path, start: int, config: dict[str, Any]):
        module = _require("tensorboard")
        self.writer = module.SummaryWriter(str(folder / "tensorboard"), purge_step=start)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One scalar a name. Raises RuntimeError where the thread that writes has died."""
        self._check_alive()
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush the event file. Raises as `write`."""
        self._check_alive()
        self.writer.close()

    def _check_alive(self) -> None:
        """Else its queue would fill, and then block for ever."""
        events = getattr(self.writer.file_writer, "event_writer", None)
        worker = getattr(events, "_worker", None)
        if worker is not None and not worker.is_alive():
            raise RuntimeError("its thread has ended; is the disk full?")


class WeightsAndBiases:
    """A W&B run with the run folder's name as its id, so that `resume` carries it on."""

    def __init__(self, folder: Path, start: int, config: dict[str, Any]):
        module = _require("wandb")
        name = folder.absolute().name
        self.run = module.init(
            project="rlseq", id=name, name=name, dir=str(folder), config=config, resume="allow"
        )

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """All values at once."""
        self.run.log(dict(values), step=step)

    def close(self) -> None:
        """Finish the upload."""
        self.run.finish()


_LOGGERS = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases}
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


def check_loggers(names: list[str]) -> None:
    """Raise InputError for a logger that is unknown or whose package is not installed."""
    check_names("logger in run.loggers", names, _LOGGERS)
    for name in names:
        _require(name)


def make_extras(names: list[str], folder: Path, start: int, config: dict[str, Any]) -> list[Extra]:
    """The named loggers for a run that goes on after step `start`. Raises InputError."""
    check_loggers(names)
    return [_start(name, folder, start, config) for name in names]


def _start(name: str, folder: Path, start: int, config: dict[str, Any]) -> Extra:
    """Raise InputError for a logger that cannot start, before anything is trained."""
    try:
        return _LOGGERS[name](folder, start, config)
    except Exception as error:  # of libraries that talk to disks and servers
        message = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(
            f"the logger {name!r} cannot start: {message}; take it out of run.loggers to go without"
        ) from error


def _require(extra: str) -> Any:
    module = _PACKAGES[extra]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"the logger {extra!r} needs the package {module}: pip install 'rlseq[{extra}]'"
        ) from error
