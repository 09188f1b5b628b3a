"""Ends a process of a run when another one is lost, within a bounded time and with a message.

A process that fails says why, and a thread of each looks for it: the main thread may wait for ever
in a computation that needs all. One that dies without a word is missed by JAX's coordinator; JAX
then aborts every process, and `explained_aborts` says what that means.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from rlseq.train import coordination, process
from rlseq.train.stop import Stop

EVERY = 0.5  # seconds between two looks
GRACE = 3.0  # seconds in which a main thread may end by itself
_FAILED, _LEFT, _STOP = "rlseq/failed", "rlseq/left", "rlseq/stop"


class Watchdog:
    """One thread of a process, until `close`.

    Args:
        rank: of this process.
        count: of processes.
    """

    def __init__(self, rank: int, count: int):
        self.rank = rank
        self.count = count
        self.stop: Stop | None = None  # signals reach every process through it
        self.left: Callable[[], str] = lambda: "nothing was written"  # for messages: what is saved
        self.told: str | None = None  # why the process ends, once that is known
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="rlseq-watchdog")

    def start(self) -> None:
        """Look from now on; the coordinator must have been joined."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def failed(self, error: BaseException) -> str | None:
        """Say that this process fails, and wait until the others, as far as they live, know.

        Returns:
            What is wrong with another process, one that failed before or does not answer.
        """
        self.close()
        process.end_at_once()  # JAX would wait for the others once more
        cause = "process 0, which coordinates all, has died or cannot be reached"
        with contextlib.suppress(Exception):  # the coordinator may be gone
            before = self._others()
            coordination.put(f"{_FAILED}/{self.rank}", one_line(error))
            cause = self._missing() or _told(before)
        if cause:
            self.told = f"{cause}; process {self.rank} saw: {one_line(error)}; {self.left()}"
        return self.told

    def _missing(self) -> str | None:
        """Wait until all have said that they fail or leave: those that do not in time."""
        last = self.rank == 0  # without the coordinator the others could not say it
        deadline = time.monotonic() + (4 if last else 3) * GRACE
        while True:
            gone = {*coordination.listed(_FAILED), *coordination.listed(_LEFT)}
            missing = sorted({*range(self.count)} - gone)
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(EVERY / 5)
        time.sleep(2 * EVERY if last else 0.0)
        named = ", ".join(map(str, missing))
        return f"process {named} of {self.count} has died or cannot be reached" if named else None

    def _others(self) -> dict[int, str]:
        return {k: v for k, v in coordination.listed(_FAILED).items() if k != self.rank}

    def _look(self) -> None:
        while not self._closed.wait(EVERY):
            with contextlib.suppress(Exception):  # without its coordinator JAX ends the process
                self._pass_on_signals()
                if (told := _told(self._others())) and not self._closed.wait(GRACE):
                    self.told = f"{told}; {self.left()}"
                    coordination.put(f"{_LEFT}/{self.rank}", "")
                    end(f"{self._missing() or told}; {self.left()}")

    def _pass_on_signals(self) -> None:
        if self.stop is not None and self.stop.requested:
            coordination.put(f"{_STOP}/{self.rank}", "")
        elif self.stop is not None and coordination.listed(_STOP):
            self.stop.requested = True


def _told(failed: dict[int, str]) -> str | None:
    named = [f"process {rank} failed: {message}" for rank, message in sorted(failed.items())]
    return named[0] if named else None


def one_line(error: BaseException) -> str:
    """The first line of an error, or its name."""
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def end(message: str) -> None:
    """End the process with a message, whatever its threads do: files are as after a kill."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os.write(2, f"rlseq: {message}\n".encode())
    os._exit(1)


@contextlib.contextmanager
def explained_aborts(message: Callable[[], str]) -> Iterator[None]:
    """JAX calls abort() in a process that does not find its coordinator or loses it, from a thread
    of its own: print what it means after JAX's stack trace, and end with exit code 1.

    Handlers of Python's do not run then, so this one is C's. It stays after an error.
    """
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
    handler = kind(lambda _: end(message()))
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    before = libc.signal(signal.SIGABRT, ctypes.cast(handler, ctypes.c_void_p))
    _kept.append(handler)  # C holds no reference
    yield
    libc.signal(signal.SIGABRT, before)


_kept: list[object] = []
