"""Standard streams that may close: output that cannot be written never stops the work.

A pipe is closed (`rlseq train | head`), a terminal hung up, the disk under a redirection full, a
descriptor closed from the start, or the encoding lacks a letter.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class Lasting:
    """A text stream that drops what cannot be written and otherwise is the one inside."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        """Letters that the encoding lacks are written as escapes."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            self.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError):  # ValueError: the stream itself is closed
            self._drop()
        return len(text)

    def flush(self) -> None:
        """As far as that is possible."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._drop()

    def close(self) -> None:
        """Leaves the stream open, which is not ours: handlers of logs close what they have."""
        self.flush()

    def _drop(self) -> None:
        """What is still in the buffer goes nowhere too, else the exit would fail for it."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            with open(os.devnull, "w", encoding="utf-8") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
            self._stream.flush()

    def __eq__(self, other: object) -> bool:
        """Libraries ask whether a stream is `sys.stderr` before they close it."""
        return self is other or self._stream is getattr(other, "_stream", other)

    def __hash__(self) -> int:
        return hash(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """Standard output and error whose closed pipes raise nothing, while this is entered."""
    _open_missing()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (Lasting(stream) for stream in before)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _open_missing() -> None:
    """Else the next file that is opened gets the number, and with it what libraries print."""
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
