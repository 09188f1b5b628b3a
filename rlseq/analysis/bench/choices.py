"""Which method of each engine is fastest, by length and state size: the rows of choices.json."""

import json
import time
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.analysis.bench.core_cases import LIMIT, RESET_RATE
from rlseq.analysis.bench.engines import ENGINES, Engine
from rlseq.analysis.bench.timing import seconds
from rlseq.errors import check_names

LENGTHS = (32, 256, 2048)
QUICK = ((32,), (128,))  # lengths and sizes


class Timing(NamedTuple):
    """Seconds of one method, forward and backward."""

    method: str
    seconds: float


def table(
    engines: Sequence[str] = (),
    lengths: Sequence[int] = LENGTHS,
    sizes: Sequence[int] = (),
    show: Callable[[str], object] = print,
) -> dict[str, Any]:
    """The content of `rlseq/scans/choices.json`, measured on this platform.

    Rows of other platforms and of engines that are not measured stay as they are in the installed
    file. Without `sizes` each engine has its own. `show` is called with a line for each size.
    Raises InputError for an unknown engine.
    """
    check_names("engine", engines, ENGINES)
    text = resources.files("rlseq.scans").joinpath("choices.json").read_text("utf-8")
    fastest = json.loads(text)["fastest"]
    for name in engines or ENGINES:
        rows = []
        for length in sorted(lengths):
            for size in sorted(sizes or ENGINES[name].sizes):
                timings = measure(ENGINES[name], length, size)
                if timings:
                    row = {"length": length, "size": size, "method": timings[0].method}
                    rows.append(row)
                show(_line(name, length, size, timings))
        fastest.setdefault(name, {})[jax.default_backend()] = rows
    return {"command": "rlseq bench choices", "fastest": fastest}


def as_text(choices: dict[str, Any]) -> str:
    """The table as JSON with one line a platform, as the file is kept."""
    engines = []
    for name, platforms in sorted(choices["fastest"].items()):
        lines = [f'   "{key}": {json.dumps(rows)}' for key, rows in sorted(platforms.items())]
        engines.append(f'  "{name}": {{\n' + ",\n".join(lines) + "\n  }")
    inside = ",\n".join(engines)
    return f'{{\n "command": {json.dumps(choices["command"])},\n "fastest": {{\n{inside}\n }}\n}}\n'


def measure(engine: Engine, length: int, size: int) -> list[Timing]:
    """Methods by their time, fastest first; without those that take over LIMIT seconds."""
    args = engine.inputs(length, size)
    reset = jax.random.bernoulli(jax.random.key(1), RESET_RATE, (length, args[0].shape[1]))
    timings = []
    for method in engine.methods:
        if method == "auto":
            continue
        run = jax.jit(_gradient(engine, method))
        jax.block_until_ready(run(args, reset))
        start = time.perf_counter()
        jax.block_until_ready(run(args, reset))
        once = time.perf_counter() - start
        if once <= LIMIT:
            repeats = max(3, min(15, int(2 / once)))
            took = seconds(lambda run=run: run(args, reset), repeats)
            timings.append(Timing(method, took))
    return sorted(timings, key=lambda timing: timing.seconds)


def _gradient(engine: Engine, method: str) -> Callable:
    def loss(args: tuple[Array, ...], reset: Array) -> Array:
        return jnp.square(engine.run(*args, reset, method=method)).mean()

    return jax.value_and_grad(loss)


def _line(name: str, length: int, size: int, timings: list[Timing]) -> str:
    found = ", ".join(f"{method} {1e3 * took:.3g} ms" for method, took in timings)
    return f"{name} T={length} size={size}: {found or 'all methods take too long'}"
