"""Linear attention by the trapezoidal rule with turning states, as in Mamba-3 (2603.15569).

S[t] = e^{a[t]} R[t]^T (S[t-1] + before[t] sum_r k[t-1,r] v[t-1,r]^T) + now[t] sum_r k[t,r] v[t,r]^T
and y[t,r] = S[t]^T q[t,r], restarted where reset. R[t] turns pairs of rows by the angles turn[t]: a
state of complex numbers, written with reals. Inside a sequence keys and queries are turned rather
than states, by the sum of the angles; only differences of such sums count, so none is carried. A
step's weight in the next one joins that in its own, which leaves the plain decaying attention of
`ssd_scan` over the steps before each, and the step itself beside it.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from rlseq.scans.affine import affine_scan
from rlseq.scans.sequential import clear
from rlseq.scans.ssd import ssd_scan


class Rule(NamedTuple):
    """How each step changes the state; leading axes [T, B], or [B] for one step."""

    log_decay: Array  # [..., H], a <= 0
    turn: Array  # [..., H, S], angles in radians
    before: Array  # [..., H], the weight of what the step before wrote
    now: Array  # [..., H], the weight of what this step writes


class Memory(NamedTuple):
    """What one step leaves for the next; 0 in a fresh episode."""

    state: Array  # [B, H, N, P]
    k: Array  # [B, R, H, N], the keys of the last step
    v: Array  # [B, R, H, P], its values


def trapezoid_scan(
    q: Array, k: Array, v: Array, rule: Rule, memory: Memory, reset: Array, *, method: str = "auto"
) -> tuple[Memory, Array]:
    """All outputs of a sequence.

    Args:
        q, k: [T, B, R, H, N]; the first S rows n of a state turn with rows S + n, 2 S <= N.
        v: [T, B, R, H, P].
        rule: weights [T, B, H] and angles [T, B, H, S].
        memory: before the first step.
        reset: [T, B] bool.
        method: as in `ssd_scan`.

    Returns:
        The memory after the last step and y [T, B, R, H, P]. Raises as `ssd_scan` does.
    """
    if not reset.shape[0]:
        return memory, v
    state = _entering(rule.before[0], memory, reset[0])
    angle = _angles(rule.turn, reset)
    later = jnp.where(reset[1:, :, None], 0, rule.before[1:])
    later = jnp.concatenate([later, jnp.zeros_like(rule.before[:1])])
    weight = (rule.now + later)[:, :, None, :, None]
    queries = _rows_first(turned(q, angle[:, :, None]))
    keys = _rows_first(turned(k, angle[:, :, None]) * weight)
    rest = rule.log_decay, state, reset
    state, y = ssd_scan(queries, keys, _rows_first(v), *rest, method=method, exclusive=True)
    y = jnp.moveaxis(y.reshape(v.shape[0], v.shape[2], v.shape[1], *v.shape[3:]), 1, 2)
    own = jnp.einsum("tbohn,tbrhn->tborh", q, k) * rule.now[:, :, None, None]
    y = y + jnp.einsum("tborh,tbrhp->tbohp", own, v)
    return Memory(_unturned(state, angle[-1]), k[-1], v[-1]), y


def trapezoid_step(
    q: Array, k: Array, v: Array, rule: Rule, memory: Memory, reset: Array
) -> tuple[Memory, Array]:
    """One step: q, k [B, R, H, N], v [B, R, H, P], reset [B] -> (memory, y [B, R, H, P])."""
    memory = clear(memory, _nothing(memory), reset)
    state = memory.state + _trail(rule.before) * _written(memory.k, memory.v)
    state = jnp.exp(_trail(rule.log_decay)) * _unturned(state, rule.turn)
    state = state + _trail(rule.now) * _written(k, v)
    return Memory(state, k, v), jnp.einsum("brhn,bhnp->brhp", q, state)


def _entering(before: Array, memory: Memory, reset: Array) -> Array:
    """The state before the first step, with what the last one still writes.

    NaN where the memory is not finite: products with a broken memory would break gradients too.
    """
    finite = [jnp.isfinite(x).all(tuple(range(1, x.ndim))) for x in memory]
    broken = ~(finite[0] & finite[1] & finite[2])
    memory = clear(memory, _nothing(memory), reset | broken)
    state = memory.state + _trail(before) * _written(memory.k, memory.v)
    return jnp.where((broken & ~reset)[:, None, None, None], jnp.nan, state)


def turned(x: Array, angle: Array) -> Array:
    """x [..., N] with the pairs (n, S + n) turned by angle [..., S]; the rows from 2 S on stay."""
    size = angle.shape[-1]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    first, second, rest = jnp.split(x, [size, 2 * size], axis=-1)
    pairs = [first * cos - second * sin, first * sin + second * cos]
    return jnp.concatenate([*pairs, rest], axis=-1)


def _unturned(state: Array, angle: Array) -> Array:
    """R^T S for a state [B, H, N, P] and angles [B, H, S]."""
    return jnp.moveaxis(turned(jnp.moveaxis(state, -1, 2), -angle[:, :, None]), 2, -1)


def _angles(turn: Array, reset: Array) -> Array:
    """Sums of the angles since each episode's start, or since the first step."""
    still = jnp.ones_like(turn[0, 0])
    return affine_scan(still, turn, jnp.zeros_like(turn[0]), reset)[1]


def _written(k: Array, v: Array) -> Array:
    return jnp.einsum("brhn,brhp->bhnp", k, v)


def _nothing(memory: Memory) -> Memory:
    return Memory(*map(jnp.zeros_like, memory))


def _rows_first(x: Array) -> Array:
    """[T, B, R, ...] -> [T R, B, ...]."""
    return jnp.moveaxis(x, 2, 1).reshape(-1, x.shape[1], *x.shape[3:])


def _trail(x: Array) -> Array:
    return x[..., None, None]
