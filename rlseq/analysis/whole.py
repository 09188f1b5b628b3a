"""Pictures and films that are whole or absent."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The name to write to in place of `path`, of the same ending; it takes its place at the end.

    Where anything is raised within, `path` stays as it was and nothing else is left.
    """
    beside = path.with_name(f".new-{path.name}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
