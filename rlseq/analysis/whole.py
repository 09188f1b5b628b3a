"""Image and video files that are complete or absent."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from rlseq.train import files


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path with the suffix of `path`, renamed to it at the end.

    A missing folder is created. If anything raises inside, `path` stays as it was and no other file
    is left; an OSError becomes `rlseq.train.files.CannotWrite`.
    """
    files.make_folder(path.parent)
    beside = path.with_name(f".new-{os.getpid()}-{path.name}")
    with files.writing(path.name, path.parent):
        try:
            yield beside
            beside.replace(path)
        finally:
            files.remove(beside)
