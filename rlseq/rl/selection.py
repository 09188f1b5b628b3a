"""Order statistics without sorting: XLA's sort takes 100 ms for 100,000 numbers on a CPU."""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

_SIGN = np.uint32(1 << 31)


def largest(x: Array, count: int) -> Array:
    """int32 [count]: where the `count` largest of float32 x [N] are, in ascending order of place.

    Of numbers that tie for the last place the first ones are taken. 1 <= count <= N, no NaN.
    """
    bits = _ordered(x)
    least = _kth(bits, count)
    above = bits > least
    ties = (bits == least) & ((bits == least).cumsum() <= count - above.sum())
    return jnp.nonzero(above | ties, size=count)[0].astype(jnp.int32)


def quantile(x: Array, fraction: float, mask: Array | None = None) -> Array:
    """The quantile of float32 x [N], linear between neighbours, as NumPy has it; no NaN.

    Of the entries where `mask` bool [N] is True, of which there must be one; of all without.
    """
    bits = _ordered(x)
    size = jnp.asarray(x.size, jnp.int32)
    if mask is not None:
        bits = jnp.where(mask, bits, 0)  # below all others, so that counts from the top leave it
        size = mask.sum(dtype=jnp.int32)
    place = fraction * (size - 1).astype(x.dtype)
    below = place.astype(jnp.int32)
    low = _unordered(_kth(bits, size - below))
    high = _unordered(_kth(bits, jnp.maximum(size - below - 1, 1)))
    return low + (place - below.astype(x.dtype)) * (high - low)


def _kth(bits: Array, count: int | Array) -> Array:
    """The `count`-th largest of uint32 [N], found bit by bit."""

    def body(i: Array, found: Array) -> Array:
        tried = found | (_SIGN >> jnp.asarray(i, jnp.uint32))
        return jnp.where((bits >= tried).sum(dtype=jnp.int32) >= count, tried, found)

    return lax.fori_loop(0, 32, body, jnp.uint32(0))


def _ordered(x: Array) -> Array:
    """float32 as uint32 of the same order."""
    bits = lax.bitcast_convert_type(x, jnp.uint32)
    return jnp.where(bits >= _SIGN, ~bits, bits | _SIGN)


def _unordered(bits: Array) -> Array:
    raw = jnp.where(bits >= _SIGN, bits ^ jnp.uint32(_SIGN), ~bits)
    return lax.bitcast_convert_type(raw, jnp.float32)
