"""The loggers that `run.loggers` names: those that come with rlseq and those of the user's own."""

from pathlib import Path
from typing import Any

from rlseq import plugins, registry
from rlseq.errors import InputError, check_names
from rlseq.train import trackers
from rlseq.train.files import CannotWrite
from rlseq.train.logging import Logger


def check_loggers(names: list[str]) -> None:
    """Raise InputError for a logger that is unknown, lacks a method of `rlseq.train.logging.Logger`
    or whose package is not installed."""
    check_names("logger in run.loggers", names, registry.names("logger"))
    for name in names:
        logger = registry.load("logger", name)
        if not isinstance(logger, type):
            raise InputError(f"logger {name!r} is no class")
        plugins.check_members(f"logger {name!r}", logger, Logger)
        if name not in registry.of_plugins("logger"):
            trackers.require(name, logger.package)


def make_extras(names: list[str], folder: Path, start: int, config: dict[str, Any]) -> list[Logger]:
    """The named loggers for a run that goes on after step `start`. Raises InputError."""
    check_loggers(names)
    return [_start(name, folder, start, config) for name in names]


def _start(name: str, folder: Path, start: int, config: dict[str, Any]) -> Logger:
    """Raise InputError for a logger that cannot start, before anything is trained."""
    try:
        return registry.load("logger", name)(folder, start, config)
    except CannotWrite:
        raise
    except Exception as error:  # of libraries that talk to disks and servers
        message = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(
            f"the logger {name!r} cannot start: {message}; take it out of run.loggers to go without"
        ) from error
