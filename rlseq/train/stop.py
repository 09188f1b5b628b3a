"""Stop long work between two calls of the device: signals are kept, progress is printed."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

EVERY = 10.0  # seconds between two lines of progress


class Interrupted(Exception):
    """A signal came; everything is saved."""


class NonFinite(RuntimeError):
    """The loss is NaN or infinite; the last good checkpoint is kept."""


class Stop:
    """Remembers SIGINT, SIGTERM and SIGHUP while it is entered; a second SIGINT or SIGTERM acts at
    once. A terminal that closes may send several SIGHUP; under `nohup` none counts.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if number != signal.SIGHUP:
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else _raise_interrupt)


class Watch:
    """Called between two calls of the device: prints the progress, and stops on a signal.

    Args:
        stop: it keeps the signals.
        say: is called with a line every EVERY seconds.
        left: the end of the message on a signal: what was kept, and how to continue.
    """

    def __init__(self, stop: Stop, say: Callable[[str], object], left: str):
        self.stop = stop
        self.say = say
        self.left = left
        self._last = time.monotonic()

    def __call__(self, progress: str) -> None:
        """Print the progress from time to time. Raises Interrupted after a signal."""
        if self.stop.requested:
            raise Interrupted(f"interrupted after {progress}: {self.left}")
        if time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            self.say(progress)


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
