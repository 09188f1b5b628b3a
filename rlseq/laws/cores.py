"""The laws of cores (CONTRIBUTING.md, "Laws"), each of one `Case`.

Compiling is what takes long: nearly all of them run one program of one length, LENGTH.
"""

from collections.abc import Callable

import jax
import numpy as np

from rlseq.cores import functional
from rlseq.laws import hold
from rlseq.laws.core_cases import (
    BATCH,
    FEATURES,
    LENGTH,
    WIDTH,
    Case,
    Runs,
    assert_close,
    case,
    methods,
    options,
)
from rlseq.laws.draws import Draws
from rlseq.types import Carry, Params


def sequence_equals_steps(c: Case) -> None:
    """Law 1: a scan equals the fold of its steps, of LENGTH or of one."""
    if len(c.x) == 1:
        carry, y = c.fns.step(c.params, c.carry, c.x[0], c.reset[0])
        steps = carry, np.asarray(y)[None]
    else:
        steps = folded(*c)
    assert_close(c.fns.scan(c.params, *c[2:]), steps)


def split_equals_whole(c: Case, cut: int) -> None:
    """Law 2: a sequence in two parts, the carry handed over, equals the whole."""
    carry, first = c.fns.scan(c.params, c.carry, c.x[:cut], c.reset[:cut])
    carry, second = c.fns.scan(c.params, carry, c.x[cut:], c.reset[cut:])
    whole = c.fns.scan(c.params, *c[2:])
    assert_close((carry, np.concatenate([first, second])), whole)


def reset_is_a_fresh_start(c: Case, at: int, atol: float = 2e-5) -> None:
    """Law 3: after a reset the output equals that of a fresh episode."""
    _, y = c.fns.scan(c.params, c.carry, c.x, reset_at(c, at))
    # The steps before `at` come last in the fresh run, so that both have one length.
    none = np.zeros_like(c.reset)
    _, fresh = c.fns.scan(c.params, c.fns.init_carry(BATCH), np.roll(c.x, -at, axis=0), none)
    y, fresh = np.asarray(y), np.asarray(fresh)
    assert_close(y[at:], fresh[: LENGTH - at], atol=atol)


def no_gradient_passes_a_reset(c: Case, at: int) -> None:
    """Law 3: what follows a reset has a gradient of exactly 0 to what came before."""
    after = np.zeros((LENGTH, BATCH, FEATURES), "float32")
    after[at:] = 1
    (_, by_carry, by_x), _ = c.fns.scan_gradients(*c[1:4], reset_at(c, at), after, 0.0)
    by_x = np.asarray(by_x)
    for leaf in jax.tree.leaves((by_carry, by_x[:at])):
        hold((np.asarray(leaf) == 0).all(), f"a gradient passes a reset at step {at}")
    hold((by_x[at:] != 0).any(), "no input after the reset has a gradient")


def broken_carry_stays_before_a_reset(c: Case, at: int, bad: float) -> None:
    """Law 4: a carry of NaN or infinity does not pass a reset."""
    carry = jax.tree.map(lambda leaf: np.full_like(leaf, bad), c.carry)
    _, y = c.fns.scan(c.params, carry, c.x, reset_at(c, at))
    _, clean = c.fns.scan(c.params, c.carry, c.x, reset_at(c, at))
    assert_close(np.asarray(y)[at:], np.asarray(clean)[at:])


def broken_input_stays_before_a_reset(c: Case, bad: float) -> None:
    """Law 4: nor does an input, in the scan and in the steps."""
    reset = reset_at(c, 4)
    broken = c.x.copy()
    broken[2] = bad
    clean = c.fns.scan(c.params, c.carry, c.x, reset)
    both = c.fns.scan(c.params, c.carry, broken, reset), folded(*c[:3], broken, reset)
    for carry, y in both:
        assert_close((carry, np.asarray(y)[4:]), (clean[0], np.asarray(clean[1])[4:]))


def carry_keeps_its_form(c: Case) -> None:
    """Law 5: structure, shapes and dtypes of the carry never change."""

    def form(carry: Carry) -> Carry:
        return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), carry)

    fresh = form(c.fns.init_carry(BATCH))
    scanned = form(c.fns.scan(c.params, *c[2:])[0])
    hold(scanned == fresh, f"a scan makes a carry {scanned} of {fresh}")
    stepped = form(c.fns.step(c.params, c.carry, c.x[0], c.reset[0])[0])
    hold(stepped == fresh, f"a step makes a carry {stepped} of {fresh}")


def rows_do_not_mix(c: Case, other: Case) -> None:
    """Law 6: a row of a batch is the same whatever the other rows hold."""
    together = jax.device_get(c.fns.scan(c.params, *c[2:]))
    for row in range(BATCH):
        # All that the other rows hold is another's: carry, inputs and resets.
        mine = np.arange(BATCH) == row
        carry = jax.tree.map(lambda a, b, m=mine: _rows(m, a, b, 0), c.carry, other.carry)
        x, reset = _rows(mine, c.x, other.x, 1), _rows(mine, c.reset, other.reset, 1)
        alone = jax.device_get(c.fns.scan(c.params, carry, x, reset))
        assert_close(_row(row, *alone), _row(row, *together))


def vmap_over_parameters_is_a_loop(c: Case) -> None:
    """Law 8."""
    every = [c.fns.init(key) for key in jax.random.split(jax.random.key(1), 3)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *every)
    many = jax.jit(jax.vmap(c.fns.scan, in_axes=(0, None, None, None)))
    carries, ys = jax.device_get(many(stacked, *c[2:]))
    for i, params in enumerate(every):
        expected = jax.tree.map(lambda leaf, i=i: leaf[i], (carries, ys))
        assert_close(c.fns.scan(params, *c[2:]), expected)


def one_compilation_a_shape(c: Case) -> None:
    """Law 9: two calls of one shape compile once."""
    first = c.fns.scan(c.params, *c[2:]), c.fns.step(c.params, c.carry, c.x[0], c.reset[0])
    compiled = c.fns.scan._cache_size(), c.fns.step._cache_size()
    # The carries that come out go in: their types are those of fresh ones.
    c.fns.scan(c.params, first[0][0], c.x + 1, c.reset)
    c.fns.scan(c.params, c.fns.init_carry(BATCH), c.x, ~c.reset)
    c.fns.step(c.params, first[1][0], c.x[1], c.reset[1])
    c.fns.step(c.params, c.fns.init_carry(BATCH), c.x[1], ~c.reset[1])
    now = c.fns.scan._cache_size(), c.fns.step._cache_size()
    hold(now == compiled, f"(scan, step) were compiled {now} times in the place of {compiled}")


def twin_agrees(c: Case, y: np.ndarray, atol: float = 1e-5) -> None:
    """Law 10: y [T, B, FEATURES] of a slow twin in NumPy."""
    np.testing.assert_allclose(c.fns.scan(c.params, *c[2:])[1], y, rtol=1e-4, atol=atol)


def causal(c: Case, at: int) -> None:
    """Law 11: y[t] does not depend on later inputs."""
    _, y = c.fns.scan(c.params, *c[2:])
    later = np.arange(LENGTH)[:, None, None] >= at
    _, other = c.fns.scan(c.params, c.carry, c.x + np.float32(100) * later, c.reset)
    assert_close(np.asarray(y)[:at], np.asarray(other)[:at])


def gradients_equal_those_of_the_steps(c: Case, amplified: float = 1e-4) -> None:
    """Law 12: gradients are finite, and equal between the scan and the steps."""
    mix = Draws(9).normal(LENGTH, BATCH, FEATURES)
    scanned, _ = c.fns.scan_gradients(*c[1:], mix, 0.3)
    stepped, _ = c.fns.fold_gradients(*c[1:], mix, 0.3)
    for one, other in zip(jax.tree.leaves(scanned), jax.tree.leaves(stepped), strict=True):
        hold(np.isfinite(np.asarray(one)).all(), "a gradient is not finite")
        # Sums over 40 steps cancel, so what rounding leaves goes by the size of the whole leaf.
        atol = amplified * max(1.0, np.abs(np.asarray(other)).max())
        np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def stays_near_float64(c: Case, scan: Callable, expected: np.ndarray) -> None:
    """Law 13: a long sequence in float32 stays near `expected`, that in float64."""
    _, y = scan(*c[1:])
    hold(y.dtype == np.float32, f"y is {y.dtype} in the place of float32")
    hold(expected.dtype == np.float64, f"y is {expected.dtype} in the place of float64")
    scale = np.abs(expected).max()
    furthest = np.abs(np.asarray(y) - expected).max() / scale
    hold(furthest < 2e-4, f"it is {furthest:.2g} of the largest output away")


def in_float64(name: str, length: int, same: tuple) -> tuple[Case, np.ndarray]:
    """A long case, and its outputs in double precision by the first of the core's methods."""
    extra = methods(name)[0] | dict(same)
    c = case(name, length, reset_rate=0.0005, **extra)
    with jax.enable_x64(True):
        exact = functional(name, WIDTH, FEATURES, **options(name, dtype="float64", **extra))
        _, y = jax.jit(exact.scan)(*jax.tree.map(_double, c[1:4]), c.reset)
    return c, np.asarray(y)


def extreme_inputs_stay_finite(c: Case) -> None:
    """Outputs and gradients of inputs of 1e4."""
    x, every = c.x * np.float32(1e4), np.ones((LENGTH, BATCH, FEATURES), "float32")
    value = c.fns.scan(c.params, c.carry, x, c.reset)
    gradient, _ = c.fns.scan_gradients(c.params, c.carry, x, c.reset, every, 0.0)
    for leaf in jax.tree.leaves((value, gradient)):
        hold(np.isfinite(np.asarray(leaf)).all(), "inputs of 1e4 give what is not finite")


def empty_sequence_changes_nothing(c: Case) -> None:
    """A sequence of no steps."""
    carry, y = c.fns.scan(c.params, c.carry, c.x[:0], c.reset[:0])
    hold(y.shape == (0, BATCH, FEATURES), f"y of an empty sequence is {y.shape}")
    assert_close(carry, c.carry, rtol=0, atol=0)


def reset_at(c: Case, at: int) -> np.ndarray:
    """A reset of every row at one step, and no other."""
    return np.broadcast_to(np.arange(LENGTH)[:, None] == at, c.reset.shape)


def folded(
    fns: Runs, params: Params, carry: Carry, x: np.ndarray, reset: np.ndarray
) -> tuple[Carry, jax.Array]:
    """(carry, y) of the steps in a row, by the program that has their gradients as well."""
    mix = np.zeros((LENGTH, BATCH, FEATURES), "float32")
    return fns.fold_gradients(params, carry, x, reset, mix, 0.0)[1]


def _row(row: int, carry: Carry, y: np.ndarray) -> tuple[Carry, np.ndarray]:
    """One row of a carry and of outputs."""
    return jax.tree.map(lambda leaf: leaf[row], carry), y[:, row]


def _rows(mine: np.ndarray, a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    """The rows of a along an axis where mine [B], else those of b."""
    return np.where(mine.reshape((1,) * axis + (-1,) + (1,) * (a.ndim - axis - 1)), a, b)


def _double(leaf: np.ndarray) -> np.ndarray:
    return np.asarray(leaf, np.complex128 if np.iscomplexobj(leaf) else np.float64)
