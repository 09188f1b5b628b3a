"""Disks that fail: Python's audit events see every file operation and may refuse or copy it."""

import contextlib
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"}
_watch: Callable[[str], None] | None = None


def _hook(event: str, arguments: tuple) -> None:
    if _watch is not None and (event in _CHANGES or (event == "open" and _writes(arguments))):
        _watch(os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | Path) else "")


def _writes(arguments: tuple) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


sys.addaudithook(_hook)


@contextlib.contextmanager
def watching(folder: Path, watch: Callable[[], None]) -> Iterator[None]:
    """Call `watch` before every operation that changes something in `folder`."""
    global _watch

    def inside(path: str) -> None:
        global _watch
        relative = not os.path.isabs(path)  # as `shutil.rmtree` goes down a tree
        if relative or Path(path).is_relative_to(folder):
            _watch = None  # what `watch` does is not watched
            try:
                watch()
            finally:
                _watch = inside

    _watch = inside
    try:
        yield
    finally:
        _watch = None


@contextlib.contextmanager
def snapshots(folder: Path, into: Path) -> Iterator[list[Path]]:
    """Copies of a folder as a kill -9 would leave it at each moment: before every operation."""
    taken: list[Path] = []

    def copy() -> None:
        taken.append(into / f"{len(taken):04d}")
        if folder.exists():
            shutil.copytree(folder, taken[-1], symlinks=True)
        else:
            taken[-1].mkdir(parents=True)

    with watching(folder, copy):
        yield taken


@contextlib.contextmanager
def failing(folder: Path, at: int, code: int) -> Iterator[list[int]]:
    """Operation number `at` and all after it fail with this errno; the list counts them."""
    count = [0]

    def fail() -> None:
        count[0] += 1
        if count[0] > at:
            raise OSError(code, os.strerror(code))

    with watching(folder, fail):
        yield count


@contextlib.contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes: writes fail as on a full disk, in C++ as well."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def leftovers(folder: Path) -> list[str]:
    """Hidden files and folders, but for the lock."""
    return [str(path) for path in folder.rglob(".*") if path.name != ".lock"]
