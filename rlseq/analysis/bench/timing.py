"""Timing and counting for the benchmarks."""

import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params


def compile_timed(function: Callable, *args: Any) -> tuple[Any, float]:
    """The compiled function and the seconds that tracing and compiling took."""
    start = time.perf_counter()
    compiled = jax.jit(function).lower(*args).compile()
    return compiled, time.perf_counter() - start


def seconds(function: Callable[[], Any], repeats: int = 5) -> float:
    """Median seconds of a call until its result is ready; one warm-up call is not counted."""
    jax.block_until_ready(function())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def matmul_rate(rows: int, width: int) -> float:
    """FLOP/s that a plain float32 matmul [rows, width] x [width, width] reaches here and now."""
    keys = jax.random.split(jax.random.key(0))
    x, w = jax.random.normal(keys[0], (rows, width)), jax.random.normal(keys[1], (width, width))
    multiply = jax.jit(jnp.matmul)
    return 2 * rows * width * width / seconds(lambda: multiply(x, w), repeats=20)


def matmul_flops(function: Callable, *args: Any) -> float:
    """FLOPs of all matmuls in a function, loops counted as often as they run."""
    return _flops(jax.make_jaxpr(function)(*args).jaxpr)


def _flops(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            depth = 1
            for axis in contracted:
                depth *= left[axis]
            total += 2.0 * depth * equation.outvars[0].aval.size
            continue
        inner = [_flops(sub) for sub in jaxprs_in_params(equation.params)]
        if inner and equation.primitive.name == "cond":
            total += max(inner)
        else:
            total += sum(inner) * equation.params.get("length", 1)
    return total


def peak_megabytes() -> float:
    """Peak resident memory of this process so far, in 10^6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
