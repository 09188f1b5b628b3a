"""Causal attention over the last `window` steps of the episode, with rotary positions.

Softmax attention (Vaswani et al. 1706.03762) in blocks of one window: each block of queries sees
its own block of keys and the one before, so memory grows with T, not with its square. Positions
turn queries and keys (Su et al. 2104.09864) and count from the episode's start.
"""

import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlseq.cores.options import AutoHeads, Dtype, Features, MatmulDtype, WindowSize
from rlseq.errors import InputError
from rlseq.nn.projection import Projection
from rlseq.types import Carry

NEG = -1e30  # finite, so that no difference of two of them is NaN
BASE = 10_000.0  # of the rotary frequencies


def rotary(x: Array, position: Array) -> Array:
    """x [..., H, d] turned by its position [...]: pair i by position * BASE^(-2 i / d)."""
    half = x.shape[-1] // 2
    rates = jnp.asarray(BASE ** (-np.arange(half) / half), x.dtype)
    angle = position[..., None, None] * jnp.expand_dims(rates, tuple(range(x.ndim - 1)))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def positions(start: Array, reset: Array) -> Array:
    """Steps since the episode's start [T, B], where step 0 would be number `start` [B]."""
    times = jnp.broadcast_to(jnp.arange(reset.shape[0])[:, None], reset.shape)
    begun = jax.lax.cummax(jnp.where(reset, times, -1), axis=0)
    since = (times - begun).astype(start.dtype)
    return jnp.where(begun >= 0, since, start[None] + times.astype(start.dtype))


def attend(q: Array, k: Array, v: Array, mask: Array) -> Array:
    """Softmax attention: q [Q, B, H, d], k and v [K, B, H, d], mask [Q, K, B] -> [Q, B, H, d].

    A key or value that is not finite reaches only the queries that see it.
    """
    sound = jnp.isfinite(k).all((-1, -2)) & jnp.isfinite(v).all((-1, -2))  # [K, B]
    k, v = (jnp.where(sound[..., None, None], leaf, 0) for leaf in (k, v))
    scores = jnp.einsum("qbhd,kbhd->qkbh", q, k) / math.sqrt(q.shape[-1])
    scores = jnp.where(sound[None, :, :, None], scores, jnp.nan)
    weights = jax.nn.softmax(jnp.where(mask[..., None], scores, NEG), axis=1)
    return jnp.einsum("qkbh,kbhd->qbhd", weights, v)


def window_attention(q: Array, k: Array, v: Array, episode: Array, window: int) -> Array:
    """Attention of each step to the last `window` steps of its episode, itself included.

    Args:
        q: [T, B, H, d].
        k, v: [window + T, B, H, d]; the first `window` lie before q[0].
        episode: [window + T, B] int32; steps see those of an equal number only.
        window: how many steps are seen.

    Returns:
        [T, B, H, d].
    """
    length = q.shape[0]
    size = min(window, length)
    blocks = -(-length // size)
    padding = [(0, blocks * size - length)] + [(0, 0)] * 3
    q, k, v = (jnp.pad(leaf, padding) for leaf in (q, k, v))
    episode = jnp.pad(episode, padding[:2], mode="edge")
    ahead = window + jnp.arange(size)[:, None] - jnp.arange(window + size)[None]
    near = (ahead >= 0) & (ahead < window)

    def block(inputs):
        q, k, v, now, seen = inputs
        return attend(q, k, v, near[..., None] & (now[:, None] == seen[None]))

    def seen(leaf):  # each block's keys and the window before them
        split = leaf[window:].reshape(blocks, size, *leaf.shape[1:])
        before = (
            jnp.concatenate([leaf[None, :window], split[:-1]])
            if blocks > 1
            else leaf[None, :window]
        )
        return jnp.concatenate([before, split], axis=1)

    queries, now = (leaf.reshape(blocks, size, *leaf.shape[1:]) for leaf in (q, episode[window:]))
    inputs = (queries, seen(k), seen(v), now, seen(episode))
    y = jax.lax.map(jax.checkpoint(block), inputs)
    return y.reshape(blocks * size, *y.shape[2:])[:length]


class Attention(nn.Module):
    """One attention layer; the carry is (position [B], keys, values), both the turned past of
    [B, window - 1, features], oldest first, zero before the episode's start.

    Raises InputError for heads that do not divide `features` into even sizes.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 2, "mixer": "full_glu", "residual": True}

    features: Features
    heads: AutoHeads = 0  # 0: heads of 32, or of all features where 32 does not divide them
    window: WindowSize = 64  # ours; about the rollout's length
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the projections; "" is `dtype`

    def __post_init__(self) -> None:
        if self.features % (2 * self._heads()):
            raise InputError(
                f"attention: features {self.features} do not divide into {self._heads()} heads "
                "of an even size"
            )
        super().__post_init__()

    def setup(self) -> None:
        dtypes: dict[str, Any] = {"dtype": self.dtype, "matmul_dtype": self.matmul_dtype}
        self.inputs = Projection(3 * self.features, use_bias=False, **dtypes)
        self.output = Projection(self.features, **dtypes)

    def init_carry(self, batch: int) -> Carry:
        """Zeros: (position [batch], keys, values [batch, window - 1, features])."""
        past = jnp.zeros((batch, self.window - 1, self.features), self.dtype)
        return jnp.zeros((batch,), self.dtype), past, past

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        if not x.shape[0]:
            return carry, jnp.zeros((*x.shape[:-1], self.features), self.dtype)
        position = positions(jax.lax.stop_gradient(carry[0]), reset)
        q, k, v = self._turned(x, position)
        past = self.window - 1
        k, v = (
            jnp.concatenate([self._split(jnp.moveaxis(old, 1, 0)), new])
            for old, new in zip(carry[1:], (k, v), strict=True)
        )
        slots = jnp.arange(past, dtype=self.dtype)[:, None] >= past - carry[0][None]
        episode = jnp.cumsum(reset, axis=0, dtype=jnp.int32)
        episode = jnp.concatenate([jnp.where(slots, 0, -1), episode])
        one = [(1, 0)] + [(0, 0)] * 3  # a whole window of past keys, its first never seen
        padded = jnp.pad(episode, one[:2], constant_values=-1)
        y = window_attention(q, jnp.pad(k, one), jnp.pad(v, one), padded, self.window)
        # Slots not yet filled are kept like the others: they are zero.
        ours = (jnp.maximum(episode, 0) == episode[-1:])[x.shape[0] :, :, None]
        keys, values = (
            jnp.moveaxis(jnp.where(ours, self._join(leaf[x.shape[0] :]), 0), 0, 1)
            for leaf in (k, v)
        )
        return (position[-1] + 1, keys, values), self.output(self._join(y))

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        position = jnp.where(reset, 0, jax.lax.stop_gradient(carry[0]))
        keys, values = (jnp.where(reset[:, None, None], 0, leaf) for leaf in carry[1:])
        q, k, v = self._turned(x, position)
        keys = jnp.concatenate([keys, self._join(k)[:, None]], axis=1)
        values = jnp.concatenate([values, self._join(v)[:, None]], axis=1)
        slots = jnp.arange(self.window, dtype=self.dtype)[:, None]
        seen = slots >= self.window - 1 - position[None]
        k, v = (self._split(jnp.moveaxis(leaf, 1, 0)) for leaf in (keys, values))
        y = attend(q[None], k, v, seen[None])[0]
        return (position + 1, keys[:, 1:], values[:, 1:]), self.output(self._join(y))

    def _turned(self, x: Array, position: Array) -> tuple[Array, Array, Array]:
        q, k, v = (self._split(part) for part in jnp.split(self.inputs(x), 3, axis=-1))
        return rotary(q, position), rotary(k, position), v

    def _split(self, x: Array) -> Array:
        return x.reshape(*x.shape[:-1], self._heads(), self.features // self._heads())

    def _join(self, x: Array) -> Array:
        return x.reshape(*x.shape[:-2], self.features)

    def _heads(self) -> int:
        return self.heads or (self.features // 32 if self.features % 32 == 0 else 1)
