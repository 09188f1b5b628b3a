"""Newton's method over a whole sequence: h[t] = f(x[t], h[t-1]) with every f elementwise.

All steps are unknowns of one system. Linearised at a guess it is an affine recurrence, which a
parallel prefix solves, and the solution is the next guess: DEER (Lim et al. 2309.12252) and, for
gated cells whose units see only themselves, ParaRNN (2510.21450). A guess is accepted only when
it fulfils the recurrence to a tolerance; otherwise a plain loop computes the states. The backward
pass does not see the iterations: at the solution the adjoint is one affine recurrence from the end.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.scans.choice import choose
from rlseq.scans.sequential import clear
from rlseq.types import PyTree

METHODS = ("auto", "sequential", "newton")
MAX_ITERATIONS = 16  # ours; ParaRNN's three are enough for small recurrent weights only
TOLERANCE = 16  # roundings of a state of size 1: what a prefix over a thousand steps leaves

# (weights, x_t pytree of [B, ...], h [B, K, N]) -> h [B, K, N]; unit n of h[t] may depend on the
# K numbers of unit n alone, so that the Jacobian is a K x K block a unit.
Cell = Callable[[PyTree, PyTree, Array], Array]


class Metrics(NamedTuple):
    """How Newton's method ended: zeros where it was not asked."""

    iterations: Array  # int32 []
    residual: Array  # [], max |f(h[t-1]) - h[t]| / (1 + |h[t]|) of its last guess
    fallback: Array  # bool [], whether the loop had to compute the states


def newton_scan(
    cell: Cell,
    weights: PyTree,
    x: PyTree,
    carry: Array,
    reset: Array,
    *,
    method: str = "auto",
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float | None = None,
) -> tuple[Array, Array, Metrics]:
    """States of h[t] = cell(weights, x[t], h[t-1]) from h[-1] = carry; h[t-1] is 0 where reset[t].

    Args:
        cell: a module-level function, see `Cell`.
        weights: pytree of arrays that all steps share.
        x: pytree of [T, B, ...].
        carry: [B, K, N].
        reset: [T, B] bool.
        method: "sequential" is one loop of T steps, "newton" a prefix an iteration.
        max_iterations: of Newton's method, before the loop takes over.
        tolerance: of the residual; None is 16 roundings of the dtype.

    Returns:
        The last state [B, K, N], all states [T, B, K, N] and the metrics.

    Raises:
        ValueError: a carry or reset that does not fit.
        InputError: an unknown method.
    """
    if carry.ndim != 3 or reset.dtype != jnp.bool_ or reset.shape[1:] != carry.shape[:1]:
        raise ValueError(
            f"carry must be [B, K, N] and reset bool [T, B], got {carry.shape} and "
            f"{reset.dtype} {reset.shape}"
        )
    method = choose("newton", method, METHODS, reset.shape[0], carry.size)
    if not reset.shape[0]:
        return carry, jnp.zeros((0, *carry.shape), carry.dtype), _no_metrics(carry)
    if tolerance is None:
        tolerance = TOLERANCE * float(jnp.finfo(carry.dtype).eps)
    run = (cell, method, max_iterations, tolerance)
    out: Any = _scan(run, weights, x, carry, reset)
    return out[0][-1], *out


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scan(run, weights, x, carry, reset):
    cell, method, max_iterations, tolerance = run
    if method == "sequential":
        return _loop(cell, weights, x, carry, reset), _no_metrics(carry)
    f = partial(_all_steps, cell, weights, x)
    states = f(jnp.zeros((*reset.shape, *carry.shape[1:]), carry.dtype))
    start = states, *_check_guess(f, carry, reset, states), jnp.int32(0)

    def unsolved(guess):  # not for NaN either, which no iteration would mend
        return (guess[2] > tolerance) & (guess[3] < max_iterations)

    improve = partial(_improve, f, carry, reset)
    states, _, residual, iterations = lax.while_loop(unsolved, improve, start)
    solved = residual <= tolerance
    slow = partial(_loop, cell, weights, x, carry, reset)
    states = lax.cond(solved, lambda: states, slow)
    return states, Metrics(iterations, residual, ~solved)


def _scan_forward(run, weights, x, carry, reset):
    out: Any = _scan(run, weights, x, carry, reset)
    return out, (weights, x, carry, reset, out[0])


def _scan_backward(run, kept, g):
    cell, method, _, _ = run
    weights, x, carry, reset, states = kept
    entering = _entering(carry, states, reset)
    if method == "sequential":
        adjoint = _adjoint_loop(cell, weights, x, entering, reset, g[0])
    else:
        f = partial(_all_steps, cell, weights, x)
        blocks = jnp.swapaxes(_masked(_linearise(f, entering), reset), -3, -2)
        later = jnp.concatenate([blocks[1:], jnp.zeros_like(blocks[:1])])
        adjoint = _prefix(later[::-1], g[0][::-1])[::-1]
    _, vjp = jax.vjp(partial(_all_steps, cell), weights, x, entering)
    d_weights, d_x, d_entering = vjp(adjoint)
    d_carry = jnp.where(reset[0][:, None, None], 0, d_entering[0])
    return d_weights, d_x, d_carry, None


_scan.defvjp(_scan_forward, _scan_backward)


def _improve(f: Callable, carry: Array, reset: Array, guess: tuple) -> tuple:
    """One iteration: the states of the recurrence linearised at the guess, and how well they fit.

    The first step's state is known, so that the carry needs no element of its own.
    """
    states, values, _, iterations = guess
    entering = _entering(carry, states, reset)
    blocks = _masked(_linearise(f, entering), reset.at[0].set(True))
    states = _prefix(blocks, values - _apply(blocks, entering))
    return states, *_check_guess(f, carry, reset, states), iterations + 1


def _check_guess(f: Callable, carry: Array, reset: Array, states: Array) -> tuple[Array, Array]:
    """What the recurrence makes of the guess, and the largest relative difference to it."""
    values = f(_entering(carry, states, reset))
    return values, jnp.max(jnp.abs(values - states) / (1 + jnp.abs(states)))


def _linearise(f: Callable, entering: Array) -> Array:
    """The blocks d f_i / d h_j at [T, B, i, j, N]; one directional derivative a column."""
    zero = jnp.zeros_like(entering)
    units = [zero.at[..., j, :].set(1) for j in range(entering.shape[-2])]
    return jnp.stack([jax.jvp(f, (entering,), (unit,))[1] for unit in units], axis=-2)


def _prefix(blocks: Array, drive: Array) -> Array:
    """h[t] = blocks[t] h[t-1] + drive[t] from 0, blocks [T, B, K, K, N], drive [T, B, K, N]."""
    return lax.associative_scan(_compose, (blocks, drive))[1]


def _compose(first: tuple[Array, Array], then: tuple[Array, Array]) -> tuple[Array, Array]:
    (a1, b1), (a2, b2) = first, then
    columns = [_apply(a2, a1[..., j, :]) for j in range(a1.shape[-2])]
    return jnp.stack(columns, axis=-2), _apply(a2, b1) + b2


def _apply(blocks: Array, h: Array) -> Array:
    """blocks [..., K, K, N] times h [..., K, N]; a zero entry lets not even NaN through."""
    through = jnp.where(blocks == 0, 0, jnp.expand_dims(h, -3))
    return jnp.where(blocks == 0, 0, blocks * through).sum(-2)


def _loop(cell: Cell, weights: PyTree, x: PyTree, carry: Array, reset: Array) -> Array:
    def body(h, inputs):
        x_t, reset_t = inputs
        h = cell(weights, x_t, clear(h, jnp.zeros_like(h), reset_t))
        return h, h

    return lax.scan(body, carry, (x, reset))[1]


def _adjoint_loop(cell, weights, x, entering, reset, g):
    """lambda[t] = g[t] + J[t+1]^T lambda[t+1] as a loop from the end."""

    def body(through, inputs):
        x_t, h, reset_t, g_t = inputs
        adjoint = g_t + through
        _, vjp = jax.vjp(partial(cell, weights, x_t), h)
        return clear(vjp(adjoint)[0], jnp.zeros_like(h), reset_t), adjoint

    inputs = (x, entering, reset, g)
    return lax.scan(body, jnp.zeros_like(g[0]), inputs, reverse=True)[1]


def _all_steps(cell: Cell, weights: PyTree, x: PyTree, h: Array) -> Array:
    """The cell at every step at once, h [T, B, K, N]."""
    return jax.vmap(cell, in_axes=(None, 0, 0))(weights, x, h)


def _entering(carry: Array, states: Array, reset: Array) -> Array:
    previous = jnp.concatenate([carry[None], states[:-1]])
    return jnp.where(reset[..., None, None], 0, previous)


def _masked(blocks: Array, reset: Array) -> Array:
    return jnp.where(reset[..., None, None, None], 0, blocks)


def _no_metrics(carry: Array) -> Metrics:
    return Metrics(jnp.int32(0), jnp.zeros((), carry.dtype), jnp.bool_(False))
