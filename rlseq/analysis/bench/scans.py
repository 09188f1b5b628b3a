"""The affine scan forward and backward at T = 1024, B = 8, 128 complex states, for each method."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.analysis.bench.timing import compile_timed, seconds
from rlseq.scans.affine import affine_scan

LENGTH, BATCH, STATES = 1024, 8, 128


def rows() -> list[dict[str, object]]:
    """One row a method; the first is the peer, and ratios are the peer's over ours."""
    args = _inputs()
    runs: dict[str, Callable] = {"lax.associative_scan, autodiff": _peer}
    for method in ("sequential", "associative", "chunked"):
        runs[f"affine_scan {method}"] = _ours(method)
    measured = [(name, *_measure(run, args)) for name, run in runs.items()]
    _, peer_time, peer_memory, _ = measured[0]
    return [
        {
            "scan": name,
            "ms": 1e3 * time,
            "temporary MB": memory,
            "compile s": compiling,
            "times faster": peer_time / time,
            "times smaller": peer_memory / memory,
        }
        for name, time, memory, compiling in measured
    ]


def _inputs() -> tuple[Array, ...]:
    keys = jax.random.split(jax.random.key(0), 4)
    shape = (LENGTH, BATCH, STATES)
    phase = jax.random.uniform(keys[0], (STATES,), maxval=jnp.pi)
    decay = 0.99 * jnp.exp(1j * phase).astype(jnp.complex64)
    drive = jax.random.normal(keys[1], shape, jnp.complex64)
    carry = jax.random.normal(keys[2], shape[1:], jnp.complex64)
    return decay, drive, carry, jax.random.bernoulli(keys[3], 0.02, shape[:2])


def _measure(run: Callable, args: tuple[Array, ...]) -> tuple[float, float, float]:
    def loss(decay, drive, carry, reset):
        return jnp.square(jnp.abs(run(decay, drive, carry, reset))).sum()

    gradient = jax.value_and_grad(loss, argnums=(0, 1, 2))
    compiled, compiling = compile_timed(gradient, *args)
    memory = compiled.memory_analysis().temp_size_in_bytes / 1e6
    return seconds(lambda: compiled(*args), repeats=15), memory, compiling


def _ours(method: str) -> Callable:
    return lambda *args: affine_scan(*args, method=method)[1]


def _peer(decay: Array, drive: Array, carry: Array, reset: Array) -> Array:
    """The usual form: a carry element in front, zero transitions at resets, plain autodiff."""
    decays = jnp.where(reset[..., None], 0, jnp.broadcast_to(decay, drive.shape))
    decays = jnp.concatenate([jnp.ones_like(decays[:1]), decays])
    drives = jnp.concatenate([carry[None], drive])

    def combine(first, then):
        return first[0] * then[0], then[0] * first[1] + then[1]

    return lax.associative_scan(combine, (decays, drives))[1][1:]
