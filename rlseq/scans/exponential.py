"""The matrix memory of the mLSTM (Beck et al. 2405.04517, equations 19 to 27), on scans.ssd.

C[t] = f[t] C[t-1] + i[t] k[t] v[t]^T, n[t] = f[t] n[t-1] + i[t] k[t], read as
h[t] = C[t]^T q[t] / max(|n[t] q[t]|, 1), with i an exponential. Both sums are held relative to
e^m[t], where m[t] = max(m[t-1] + log f[t], log i[t]): no exponent is above 0. n is one more column
of C. h does not depend on m, which is therefore a constant for gradients.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from rlseq.scans.softmax import NEVER, at_most_zero, later, maxima
from rlseq.scans.ssd import METHODS, ssd_scan, ssd_step

__all__ = ["METHODS", "Matrix", "empty", "exponential_scan", "exponential_step"]

SMALLEST = 1e-6  # added to the divisor, as in the authors' code
HIGHEST = 80.0  # e^80 is finite in float32, and what it divides is 0 beside anything of use


class Matrix(NamedTuple):
    """The state: a maximum, and C beside n relative to it."""

    m: Array  # [B, H]
    sums: Array  # [B, H, K, V + 1]


def empty(batch: int, heads: int, keys: int, values: int, dtype: str) -> Matrix:
    """The state before the first step."""
    m = jnp.full((batch, heads), NEVER, dtype)
    return Matrix(m, jnp.zeros((batch, heads, keys, values + 1), dtype))


def exponential_scan(
    q: Array,
    k: Array,
    v: Array,
    log_forget: Array,
    log_write: Array,
    carry: Matrix,
    reset: Array,
    *,
    method: str = "auto",
) -> tuple[Matrix, Array]:
    """All reads h[t].

    Args:
        q, k: [T, B, H, K], the keys divided by sqrt(K).
        v: [T, B, H, V].
        log_forget: [T, B, H], log f <= 0.
        log_write: [T, B, H], log i.
        carry: m [B, H] and C beside n [B, H, K, V + 1].
        reset: [T, B] bool; the state is emptied before that step.
        method: of `ssd_scan`; "sequential" finds the maxima in a loop too.

    Returns:
        The last state and h [T, B, H, V]. Raises as `ssd_scan` does.
    """
    if not reset.shape[0]:
        return carry, v
    parallel = method != "sequential"
    m = lax.stop_gradient(maxima(log_forget, log_write, carry.m, reset, parallel=parallel))
    before = jnp.concatenate([carry.m[None], m[:-1]])
    keep, written = _relative(v, log_forget, log_write, before, m, reset)
    sums, y = ssd_scan(q, k, written, keep, carry.sums, reset, method=method)
    return Matrix(m[-1], sums), _read(y, m)


def exponential_step(
    q: Array,
    k: Array,
    v: Array,
    log_forget: Array,
    log_write: Array,
    carry: Matrix,
    reset: Array,
) -> tuple[Matrix, Array]:
    """One step: q, k [B, H, K], v [B, H, V], both logarithms [B, H], reset [B] -> (state, h)."""
    m = lax.stop_gradient(later(carry.m, log_forget, log_write, reset))
    keep, written = _relative(v, log_forget, log_write, carry.m, m, reset)
    sums, y = ssd_step(q[None], k[None], written[None], keep, carry.sums, reset)
    return Matrix(m, sums), _read(y[0], m)


def _relative(
    v: Array, log_forget: Array, log_write: Array, before: Array, m: Array, reset: Array
) -> tuple[Array, Array]:
    """The log-decay of the sums and what is added to them, v and 1 by their weight."""
    keep = jnp.where(reset[..., None], 0, at_most_zero(before + log_forget - m))
    weight = jnp.exp(log_write - m)[..., None]
    return keep, jnp.concatenate([v * weight, weight], axis=-1)


def _read(y: Array, m: Array) -> Array:
    one = jnp.exp(jnp.minimum(-m, HIGHEST))[..., None]
    return y[..., :-1] / (jnp.maximum(jnp.abs(y[..., -1:]), one) + SMALLEST)
