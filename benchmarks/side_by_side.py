"""Two programs timed turn and turn about in one process, for the scripts beside this one."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax


def compare(
    makers: Mapping[str, Callable[[int], Any]],
    keys: Mapping[str, jax.Array],
    updates: tuple[int, int],
    steps: int,
    repeats: int,
) -> dict[str, Any]:
    """Steps per second (median), compile seconds, and the ratios of rlseq's to the peer's.

    An update is timed as the difference of two runs, so that what comes before it does not count.

    Args:
        makers: name -> a function from a number of updates to a jitted program of one key. One of
            them is "rlseq".
        keys: of each program.
        updates: of the short and of the long run.
        steps: of one update.
        repeats: pairs of runs.
    """
    short, long = updates
    built = {
        (name, n): compiled(make(n), keys[name]) for name, make in makers.items() for n in updates
    }
    rates: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(repeats):
        for name, own in rates.items():
            first, second = (seconds(built[name, n][0], keys[name]) for n in updates)
            own.append((long - short) * steps / (second - first))
    (peer,) = set(makers) - {"rlseq"}
    ratios = [a / b for a, b in zip(rates["rlseq"], rates[peer], strict=True)]
    return {
        "steps_per_second": {name: round(statistics.median(own)) for name, own in rates.items()},
        "compile_seconds": {name: round(built[name, short][1], 2) for name in makers},
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(x, 2) for x in ratios],
    }


def compiled(program: Any, key: jax.Array) -> tuple[Callable[..., Any], float]:
    """(the jitted program for this key, seconds to compile it)."""
    start = time.perf_counter()
    return program.lower(key).compile(), time.perf_counter() - start


def seconds(program: Callable[..., Any], key: jax.Array) -> float:
    """Of one call."""
    start = time.perf_counter()
    jax.block_until_ready(program(key))
    return time.perf_counter() - start
