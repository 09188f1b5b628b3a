"""How often JAX traces or compiles while something runs."""

import contextlib
from collections.abc import Iterator

from jax import monitoring


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """A list that grows by a name whenever JAX traces, lowers or compiles a program."""
    events: list[str] = []

    def listen(event: str, _: float, **about: object) -> None:
        if event.startswith("/jax/core/compile/"):
            events.append(f"{event} {about.get('fun_name', '')}")

    monitoring.register_event_duration_secs_listener(listen)
    try:
        yield events
    finally:
        monitoring.unregister_event_duration_listener(listen)


def again(call, times: int = 3) -> list[str]:
    """What JAX compiles when a call is made again and again after the first time."""
    call()
    with counted() as events:
        for _ in range(times):
            call()
    return events
