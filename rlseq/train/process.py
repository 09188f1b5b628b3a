"""What a process of the command line needs of its surroundings, whatever they are."""

import os
import tempfile
from pathlib import Path


def prepare() -> None:
    """For a process of the command line: figures go to files, and settings have a place."""
    os.environ["MPLBACKEND"] = "agg"  # ours need no display; an unknown name would end the import
    try:
        Path.home()
    except RuntimeError:  # a user whom the system does not know, as containers have them
        os.environ["HOME"] = tempfile.gettempdir()
