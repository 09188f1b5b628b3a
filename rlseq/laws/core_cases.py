"""What the laws of cores look at: a tiny core, random sequences, the fold of steps."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlseq import registry
from rlseq.cores import functional
from rlseq.laws import hold
from rlseq.laws.draws import Draws
from rlseq.types import Carry, Params

WIDTH, FEATURES, BATCH = 5, 8, 3
MIDDLE = 33  # of a sequence, and behind the first chunk
# mlstm divides by |n . q|, which passes near 0, so rounding grows a thousandfold: the two sides
# of law 3 differ by 1.5e-13 in float64, and by 1.5e-4 in float32; those of law 12 by 5e-14 and
# 1.5e-4 of the largest entry.
AMPLIFIED = {"mlstm": 3e-4}
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
    """A core with parameters, in the middle of an episode, and a sequence with resets."""

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
    """The functions of a core with further options, (key, value) each."""
    fns = functional(name, WIDTH, FEATURES, **options(name, **dict(extra)))

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


def methods(name: str) -> list[dict]:
    """Every way in which a core can run its sequence; "auto" is always one of the others."""
    return [{"method": m} for m in registry.load("core", name).methods if m != "auto"] or [{}]


def case(name: str, length: int = LENGTH, seed: int = 0, reset_rate: float = 0.25, **extra) -> Case:
    """A case of a core, the same for the same arguments; `extra` are options of the core."""
    return drawn_case(name, length, seed, reset_rate, tuple(extra.items()))


@lru_cache
def drawn_case(name: str, length: int, seed: int, reset_rate: float, extra: tuple) -> Case:
    """`case`, kept while it is used."""
    fns, draws = runs(name, extra), Draws(seed)
    params = fns.init(jax.random.key(seed))
    dtype = dict(extra).get("dtype", "float32")
    x = draws.normal(length, BATCH, WIDTH, dtype=dtype)
    reset = draws.happens(reset_rate, length, BATCH)
    warm = draws.normal(LENGTH, BATCH, WIDTH, dtype=dtype)
    carry, _ = fns.scan(params, fns.init_carry(BATCH), warm, np.zeros((LENGTH, BATCH), bool))
    return Case(fns, params, carry, x, reset)


def assert_close(a, b, rtol: float = 2e-5, atol: float = 2e-5) -> None:
    """Raise AssertionError unless two trees have equal forms, dtypes and nearly equal values."""
    forms = jax.tree.structure(a), jax.tree.structure(b)
    hold(forms[0] == forms[1], f"the forms differ: {forms[0]} and {forms[1]}")
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        hold(left.dtype == right.dtype, f"the dtypes differ: {left.dtype} and {right.dtype}")
        np.testing.assert_allclose(left, right, rtol=rtol, atol=atol)
