"""Environment variables that a process of the command line needs."""

import os
import tempfile
from pathlib import Path


def prepare() -> None:
    """Figures go to files, and libraries find a folder for settings."""
    os.environ["MPLBACKEND"] = "agg"  # ours need no display; an unknown name would end the import
    try:
        Path.home()
    except RuntimeError:  # a user whom the system does not know, as containers have them
        os.environ["HOME"] = tempfile.gettempdir()
