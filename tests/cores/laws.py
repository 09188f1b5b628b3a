"""What the law tests share: a tiny core, random sequences, the fold of steps."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import rlseq
from rlseq.types import Carry, Params
from tests.draws import Draws

WIDTH, FEATURES, BATCH = 5, 8, 3
LENGTH = 40  # of most laws, so that they share programs; more than a chunk on CPUs, which has 32


class Runs(NamedTuple):
    """A core's functions, jitted once for all tests of one form of it."""

    init: Callable
    init_carry: Callable
    scan: Callable
    step: Callable
    fold: Callable  # the sequence as steps, in a lax.scan
    scan_gradients: Callable  # as `gradients_of` says, through the scan
    fold_gradients: Callable  # and through the steps


class Case(NamedTuple):
    fns: Runs
    params: Params
    carry: Carry  # in the middle of an episode
    x: np.ndarray
    reset: np.ndarray


def options(name: str, **extra) -> dict:
    """Two layers for every core, so that a stack's carry is tested too."""
    return {"layers": 2, **extra}


@lru_cache
def runs(name: str, extra: tuple) -> Runs:
    fns = rlseq.functional(name, WIDTH, FEATURES, **options(name, **dict(extra)))

    def fold(params, carry, x, reset):
        return jax.lax.scan(
            lambda carry, inputs: fns.step(params, carry, *inputs), carry, (x, reset)
        )

    scan, scan_gradients = jax.jit(fns.scan), jax.jit(gradients_of(fns.scan))
    if "method" in dict(extra):
        # A method runs a sequence: parameters and steps are those of the core, compiled once.
        steps = runs(name, tuple(item for item in extra if item[0] != "method"))
        return steps._replace(scan=scan, scan_gradients=scan_gradients)
    fold_gradients = jax.jit(gradients_of(fold))
    whole = fns.init, fns.init_carry, scan, jax.jit(fns.step), jax.jit(fold)
    return Runs(*whole, scan_gradients, fold_gradients)


def gradients_of(run: Callable) -> Callable:
    """(params, carry, x, reset, mix, end) -> (gradients by the first three, (carry, y)).

    Of (y * mix).sum() + end * the sum of the last carry; mix [T, B, FEATURES], end a float.
    """

    def value(params, carry, x, reset, mix, end):
        carry, y = run(params, carry, x, reset)
        last = sum(jnp.real(x).sum() for x in jax.tree.leaves(carry))
        return (y * mix).sum() + end * last, (carry, y)

    return jax.grad(value, argnums=(0, 1, 2), has_aux=True)


def case(name: str, length: int = LENGTH, seed: int = 0, reset_rate: float = 0.25, **extra) -> Case:
    return drawn_case(name, length, seed, reset_rate, tuple(extra.items()))


@lru_cache
def drawn_case(name: str, length: int, seed: int, reset_rate: float, extra: tuple) -> Case:
    fns, draws = runs(name, extra), Draws(seed)
    params = fns.init(jax.random.key(seed))
    dtype = dict(extra).get("dtype", "float32")
    x = draws.normal(length, BATCH, WIDTH, dtype=dtype)
    reset = draws.happens(reset_rate, length, BATCH)
    warm = draws.normal(LENGTH, BATCH, WIDTH, dtype=dtype)
    carry, _ = fns.scan(params, fns.init_carry(BATCH), warm, np.zeros((LENGTH, BATCH), bool))
    return Case(fns, params, carry, x, reset)


def assert_close(a, b, rtol: float = 2e-5, atol: float = 2e-5) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_allclose(left, right, rtol=rtol, atol=atol)
