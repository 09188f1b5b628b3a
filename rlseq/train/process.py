"""What a process of the command line needs at its start, and how it ends."""

import atexit
import os
import sys
import tempfile
from pathlib import Path


def prepare() -> None:
    """Figures go to files, and libraries find a folder for settings."""
    os.environ["MPLBACKEND"] = "agg"  # ours need no display; an unknown name would end the import
    try:
        Path.home()
    except RuntimeError:  # a user whom the system does not know, as containers have them
        os.environ["HOME"] = tempfile.gettempdir()


_at_once: list[bool] = []  # not empty: as `end_at_once` wants it


def end_at_once() -> None:
    """Let the process end without what libraries do at its end, and with exit code 1 unless
    `leave` gives another."""
    _at_once.append(True)
    atexit.register(leave, 1)


def leave(code: int) -> int:
    """The exit code; after `end_at_once` the process ends here."""
    if _at_once:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    return code
