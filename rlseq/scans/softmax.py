"""The scan of a softmax over the past: scores may decay, resets empty it. Aaren and its kin.

With log-decays g and scores s the state is u[t] = sum_k exp(s[k] + g[k+1] + ... + g[t]) and w[t]
the same sum of values, held relative to a running maximum m[t] = max(m[t-1] + g[t], s[t]) so that
no exponent is above 0 (Feng et al. 2405.13956, section 3.2; the decay is ours). Given m, u and w
are affine in time, so scans.affine runs them with all its methods and its backward pass. w / u does
not depend on m, which is therefore a constant for gradients.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from rlseq.scans.affine import METHODS, affine_scan, resolve

__all__ = [
    "METHODS",
    "NEVER",
    "Softmax",
    "at_most_zero",
    "empty",
    "later",
    "maxima",
    "softmax_scan",
    "softmax_step",
]

NEVER = -1e30  # the maximum of nothing: finite, since -inf - -inf is NaN


class Softmax(NamedTuple):
    """The state: a maximum, and sums relative to it."""

    m: Array  # [B, H]
    u: Array  # [B, H]
    w: Array  # [B, H, D]


def empty(batch: int, heads: int, width: int, dtype: Any) -> Softmax:
    """The state before the first score."""
    zeros = jnp.zeros((batch, heads), dtype)
    return Softmax(jnp.full_like(zeros, NEVER), zeros, jnp.zeros((batch, heads, width), dtype))


def softmax_scan(
    decay: Array | None,
    score: Array,
    value: Array,
    carry: Softmax,
    reset: Array,
    *,
    method: str = "auto",
) -> tuple[Softmax, Array]:
    """The weighted mean w / u of the values so far, at every step.

    Args:
        decay: [T, B, H], logarithms, at most 0; None is no decay.
        score: [T, B, H].
        value: [T, B, H, D].
        carry: m, u [B, H] and w [B, H, D].
        reset: [T, B] bool; the state is emptied before that step.
        method: of the affine scan, and "sequential" or parallel for the maximum.

    Returns:
        The last state and the means [T, B, H, D]. Raises as `affine_scan` does.
    """
    method = resolve(method)
    if not score.shape[0]:
        return carry, value
    decay = jnp.zeros_like(score) if decay is None else decay
    m = lax.stop_gradient(maxima(decay, score, carry.m, reset, parallel=method != "sequential"))
    before = jnp.concatenate([carry.m[None], m[:-1]])
    keep, weight = _factors(decay, score, before, m, reset)
    drive = jnp.concatenate([value, jnp.ones_like(score)[..., None]], -1) * weight[..., None]
    start = jnp.concatenate([carry.w, carry.u[..., None]], -1)
    keeps = jnp.broadcast_to(keep[..., None], drive.shape)
    last, sums = affine_scan(keeps, drive, start, reset, method=method)
    return Softmax(m[-1], last[..., -1], last[..., :-1]), sums[..., :-1] / sums[..., -1:]


def softmax_step(
    decay: Array | None, score: Array, value: Array, carry: Softmax, reset: Array
) -> tuple[Softmax, Array]:
    """One step: decay, score [B, H], value [B, H, D], reset [B] -> (state, mean [B, H, D])."""
    decay = jnp.zeros_like(score) if decay is None else decay
    m = lax.stop_gradient(later(carry.m, decay, score, reset))
    keep, weight = _factors(decay, score, carry.m, m, reset)
    cleared = reset[:, None]
    u = keep * jnp.where(cleared, 0, carry.u) + weight
    w = keep[..., None] * jnp.where(cleared[..., None], 0, carry.w) + weight[..., None] * value
    return Softmax(m, u, w), w / u[..., None]


def compose(first: tuple[Array, Array], then: tuple[Array, Array]) -> tuple[Array, Array]:
    """The associative operator on (log-decay, maximum)."""
    (g1, m1), (g2, m2) = first, then
    forgets = g2 <= NEVER  # chosen with `where`, so that NaN does not pass a reset either
    return g1 + g2, jnp.maximum(jnp.where(forgets, NEVER, m1 + g2), m2)


def later(m: Array, decay: Array, score: Array, reset: Array) -> Array:
    """The maximum after one step: m, decay, score [B, H], reset [B] -> [B, H]."""
    return jnp.maximum(jnp.where(reset[..., None], NEVER, m + decay), score)


def _factors(
    decay: Array, score: Array, before: Array, m: Array, reset: Array
) -> tuple[Array, Array]:
    """What is kept of the sums and what a new value weighs, both relative to the new maximum."""
    cleared = reset[..., None]
    lost = jnp.where(cleared, 0, before + decay - m)
    return jnp.where(cleared, 0, jnp.exp(at_most_zero(lost))), jnp.exp(score - m)


def at_most_zero(x: Array) -> Array:
    """x, with 0 for what rounding lifted above it; the gradient is that of x also at 0.

    `minimum` would halve it there, and a maximum that comes from the past makes x exactly 0.
    """
    return x - lax.stop_gradient(jnp.maximum(x, 0))


def maxima(decay: Array, score: Array, start: Array, reset: Array, *, parallel: bool) -> Array:
    """m of all steps [T, B, H]."""
    if not parallel:

        def body(m: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            m = later(m, *inputs)
            return m, m

        return lax.scan(body, start, (decay, score, reset))[1]
    first = later(start, decay[0], score[0], reset[0])
    # A decay below any score forgets; twice it is still finite.
    decay = jnp.where(reset[..., None], NEVER, decay)
    return lax.associative_scan(compose, (decay, score.at[0].set(first)))[1]
