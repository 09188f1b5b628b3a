"""Exceptions of environments on the host: JAX itself passes on only their text."""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import jax

from rlseq.errors import HostEnvError

_raised: list[BaseException] = []  # the last one alone


def remembered(call: Callable[..., Any]) -> Callable[..., Any]:
    """A callback whose exceptions `own_errors` knows; JAX logs no traceback of its own for them."""

    @functools.wraps(call)
    def calling_the_host(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except BaseException as error:
            _raised[:] = [error]
            raise

    return calling_the_host


@contextlib.contextmanager
def own_errors(when: str = "") -> Iterator[None]:
    """Raise what an environment raised on the host, in place of JAX's error that holds its text.

    Raises HostEnvError with the environment's message, `when` after "the environment failed".
    KeyboardInterrupt and SystemExit pass unchanged.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        raise_own(error, when)
        raise


def raise_own(error: BaseException, when: str = "") -> None:
    """As `own_errors`, for an error of JAX's; nothing for one that no environment caused."""
    raised = _raised.pop() if _raised else None
    # The name excludes an exception of another call, whose error was ignored.
    if raised is None or type(raised).__name__ not in str(error):
        return
    if not isinstance(raised, Exception):
        raise raised from None
    raise HostEnvError(f"the environment failed{when}: {_words(raised)}") from raised


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_news(record: logging.LogRecord) -> bool:
    """False for JAX's own report of an exception that went through `remembered`."""
    step = record.exc_info[2] if record.exc_info else None
    while step is not None:
        if step.tb_frame.f_code.co_name == "calling_the_host":
            return False
        step = step.tb_next
    return True


logging.getLogger("jax._src.callback").addFilter(_is_news)
