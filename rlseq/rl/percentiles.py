"""The scale of returns by their percentiles (DreamerV3, 2301.04104, equation 12)."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from rlseq.rl.selection import quantile

DECAY = 0.99  # DreamerV3, Drama
LOW, HIGH = 0.05, 0.95


class Percentiles(NamedTuple):
    """Moving averages of the 5th and 95th percentile, from 0 and not corrected for it, as Drama."""

    low: Array  # []
    high: Array  # []

    @property
    def scale(self) -> Array:
        """[]: what returns are divided by; at least 1, so that small ones are not blown up."""
        return jnp.maximum(1.0, self.high - self.low)


def init_percentiles() -> Percentiles:
    """Of nothing."""
    return Percentiles(jnp.float32(0), jnp.float32(0))


def update_percentiles(old: Percentiles, returns: Array, mask: Array | None = None) -> Percentiles:
    """Mix in those of returns of any shape where `mask` bool is True; nothing where it never is."""
    flat = returns.reshape(-1)
    some = jnp.ones(flat.shape, bool) if mask is None else mask.reshape(-1)

    def mixed(before: Array, fraction: float) -> Array:
        found = DECAY * before + (1 - DECAY) * quantile(flat, fraction, some)
        return jnp.where(some.any(), found, before)

    return Percentiles(mixed(old.low, LOW), mixed(old.high, HIGH))
