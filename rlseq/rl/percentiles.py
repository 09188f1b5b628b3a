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


def update_percentiles(old: Percentiles, returns: Array) -> Percentiles:
    """Mix in those of returns of any shape."""
    flat = returns.reshape(-1)
    low, high = (quantile(flat, fraction) for fraction in (LOW, HIGH))
    return Percentiles(DECAY * old.low + (1 - DECAY) * low, DECAY * old.high + (1 - DECAY) * high)
