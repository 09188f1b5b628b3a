"""What processes of a run tell each other, through the key-value store of JAX's coordinator.

It works before any device is touched and while a computation hangs. It lives in process 0.
"""

import json
from typing import Any

import jax
from jax._src import distributed as _runtime  # the store has no public name

_POLL = 1000  # milliseconds; between two of them a signal of Python's is seen


def put(key: str, value: Any) -> None:
    """Say something to all; a later value replaces it."""
    _client().key_value_set(key, json.dumps(value), allow_overwrite=True)


def wait(key: str) -> Any:
    """What somebody says under a key, as soon as it does; deaths end the wait by the watchdog."""
    while True:
        try:
            return json.loads(_client().blocking_key_value_get(key, _POLL))
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise


def listed(folder: str) -> dict[int, Any]:
    """Rank -> what it put under "folder/rank"."""
    found = _client().key_value_dir_get(folder)
    return {int(key.rpartition("/")[2]): json.loads(value) for key, value in found}


def meet(name: str, seconds: float) -> bool:
    """Wait for all processes, each of which comes once; whether they came in time."""
    try:
        _client().wait_at_barrier(name, round(1000 * seconds))
    except jax.errors.JaxRuntimeError:
        return False
    return True


def place() -> tuple[int, int]:
    """(rank of this process, number of all), without touching a device."""
    return _runtime.global_state.process_id, _runtime.global_state.num_processes


def _client() -> Any:
    return _runtime.global_state.client
