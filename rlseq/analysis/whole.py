"""Pictures and films that are whole or absent."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from rlseq.train import files


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The name to write to in place of `path`, of the same ending; it takes its place at the end.

    The folder is made if it is missing. Where anything is raised within, `path` stays as it was and
    nothing else is left; an OSError becomes `rlseq.train.files.CannotWrite`.
    """
    files.make_folder(path.parent)
    beside = path.with_name(f".new-{os.getpid()}-{path.name}")
    with files.writing(path.name, path.parent):
        try:
            yield beside
            beside.replace(path)
        finally:
            files.remove(beside)
