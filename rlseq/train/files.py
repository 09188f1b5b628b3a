"""Atomic file writes, and one-line errors where a file cannot be written.

A new file is written under a hidden name and then renamed; a failure removes it, and the next
process that owns the folder removes what a kill leaves.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rlseq.errors import InputError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY = re.compile(r"\..+\.\d+")  # as `replacing` names them


class CannotWrite(OSError):
    """Something cannot be written; the message says what, where, why and how much space is free."""

    def __init__(self, message: str, code: int | None = None):
        super().__init__(message)
        self.errno = code


@contextlib.contextmanager
def writing(what: str, where: Path) -> Iterator[None]:
    """Raise CannotWrite for any OSError inside: `what` could not be written to `where`.

    Where several are nested, the outermost names the failure: the checkpoint, not one of its files.
    """
    try:
        yield
    except OSError as raised:
        cause = raised.__cause__ if isinstance(raised, CannotWrite) else raised
        error = cause if isinstance(cause, OSError) else raised
        message = (
            f"cannot write {what} to {str(where)!r}: {reason(error)}{_free_space(error, where)}"
        )
        raise CannotWrite(message, error.errno) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which replaces `path` once it is complete and on disk.

    A reader sees the old file or the new one, never a part. Raises CannotWrite, and leaves the old
    file and nothing else.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path.name, path.parent):
        try:
            with open(beside, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            remove(beside)
            raise
        sync_folder(path.parent)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content`, text in UTF-8; atomic. Raises CannotWrite."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(data)


def append(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Add to the end of a file all of `data` or nothing; `sync`: to the disk itself.

    Raises CannotWrite.
    """
    with writing(path.name, path.parent):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            size = os.fstat(handle).st_size
            try:
                _write_all(handle, data)
                if sync:
                    os.fsync(handle)
            except OSError:
                os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)


def make_folder(path: Path) -> None:
    """A folder and those above it, where they are missing. Raises CannotWrite."""
    with writing("the folder", path):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A hidden folder to fill, which becomes `path` by one rename once it is on disk.

    Raises InputError as `check_new`, and CannotWrite; nothing is left then, nor when what fills it
    fails.
    """
    check_new(path)
    beside = path.absolute().with_name(f".{path.absolute().name}.{os.getpid()}")
    with writing("the folder", path):
        remove(beside)
        try:
            beside.mkdir()
            yield beside
            for folder in (beside, *(p for p in beside.rglob("*") if p.is_dir())):
                sync_folder(folder)
            check_new(path)  # a rename would replace an empty folder
            os.rename(beside, path)
        except BaseException:
            remove(beside)
            raise
        sync_folder(beside.parent)


def check_new(path: Path) -> None:
    """Raise InputError unless `path` is free and its folder is there."""
    if path.exists():
        raise InputError(f"{str(path)!r} exists already and is not overwritten")
    if not path.absolute().parent.is_dir():
        raise InputError(f"no folder {str(path.absolute().parent)!r} for {path.name!r}")


def read(path: Path) -> bytes:
    """A file's bytes. Raises InputError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {reason(error)}") from error


def reserve(folder: Path, size: int) -> None:
    """Raise OSError unless a file of `size` bytes can be had in the folder now; keeps nothing.

    For libraries that report a full disk badly or not at all.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    path = folder / f".new-space-{os.getpid()}"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno in _NO_SPACE:  # others: this file system cannot tell
            needed = f"{os.strerror(error.errno)}, {_size(size)} needed"
            raise OSError(error.errno, needed) from error
    finally:
        os.close(handle)
        remove(path)


def remove(path: Path) -> None:
    """Remove a file or folder, as far as possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def sweep(folder: Path) -> None:
    """Remove half-written files, as kills leave them."""
    for path in folder.glob(".*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            remove(path)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def one_line(error: OSError) -> str:
    """One line on an OSError: what failed, and on which file."""
    if isinstance(error, CannotWrite):
        return str(error)
    where = f" {str(error.filename)!r}" if error.filename else ""
    return f"the system refused{where}: {reason(error)}"


def reason(error: OSError) -> str:
    """The system's message for a failure, without its number."""
    text = (error.strerror or str(error)).strip().split("\n")[0]
    return text[:1].lower() + text[1:]


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _free_space(error: OSError, where: Path) -> str:
    if error.errno not in _NO_SPACE:
        return ""
    nearest = where.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        found = os.statvfs(nearest)
    except OSError:
        return ""
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    inodes = ", no file more" if found.f_files and not found.f_favail else ""
    return f" ({_size(free)} of {_size(total)} free there{inodes})"


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
