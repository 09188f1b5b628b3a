"""Targets of Q-learning from recorded rows: n-step returns and rescaled values."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax


class NStep(NamedTuple):
    """What is paid for from row t on, and where the value of the rest is read; [T, B] each."""

    reward: Array  # float32, discounted sum
    discount: Array  # float32, of the value at row t + steps; 0 where an episode ended
    steps: Array  # int32, 0 .. n
    mask: Array  # bool, False: nothing is to be learned from row t


def n_step(
    reward: Array, terminated: Array, cut: Array, n: int | Array, gamma: float | Array, most: int
) -> NStep:
    """n-step returns (Sutton 1988) of rows [T + most, B], of the first T; n int [] <= most.

    reward and terminated are what the action of a row brought. A return ends with an episode.
    Where a time limit `cut` a row its successor was not kept: returns that reach it end before it,
    with the value there, and nothing is learned from the row itself.
    """
    length = reward.shape[0] - most
    step = jnp.arange(most, dtype=jnp.int32)
    ahead = jnp.arange(length, dtype=jnp.int32)[None] + step[:, None]  # [most, T]
    over = jnp.cumsum(terminated[ahead].astype(jnp.int32), axis=0)
    before = over - terminated[ahead].astype(jnp.int32)
    stopped = jnp.cumsum(cut[ahead].astype(jnp.int32), axis=0)
    within = (step < n)[:, None, None]
    going = within & (before == 0) & (stopped == 0)
    weight = jnp.asarray(gamma, jnp.float32) ** step.astype(jnp.float32)
    steps = going.sum(0, dtype=jnp.int32)
    ended = (going & terminated[ahead]).any(0)
    discount = jnp.asarray(gamma, jnp.float32) ** steps.astype(jnp.float32)
    total = jnp.where(going, weight[:, None, None] * reward[ahead], 0).sum(0)
    return NStep(total, jnp.where(ended, 0, discount), steps, ~cut[:length])


def rescale(x: Array, eps: float = 1e-3) -> Array:
    """h(x) = sign(x) (sqrt(|x| + 1) - 1) + eps x (Pohlen et al. 1805.11593, equation 3)."""
    return jnp.sign(x) * (jnp.sqrt(jnp.abs(x) + 1) - 1) + eps * x


def unscale(x: Array, eps: float = 1e-3) -> Array:
    """The inverse of `rescale` (the same, proposition A.2)."""
    root = jnp.sqrt(1 + 4 * eps * (jnp.abs(x) + 1 + eps))
    return jnp.sign(x) * (jnp.square((root - 1) / (2 * eps)) - 1)


def huber(x: Array) -> Array:
    """x^2 / 2 near 0 and |x| - 1/2 beyond 1 (Mnih et al. 2015, methods)."""
    size = jnp.abs(x)
    return jnp.where(size <= 1, 0.5 * jnp.square(x), size - 0.5)


def support(like: Array, limit: float) -> Array:
    """K evenly spaced returns from -limit to limit, in the last axis of the shape of `like`."""
    number = lax.broadcasted_iota(jnp.float32, like.shape, like.ndim - 1)
    half = (like.shape[-1] - 1) / 2
    return (number - half) * (limit / half)


def project(probability: Array, atoms: Array, limit: float) -> Array:
    """Mass [..., K] at atoms [..., K] on their `support`: float32 [..., K].

    Each atom is shared between its neighbours and cut at the ends (Bellemare et al. 1707.06887,
    equation 7).
    """
    bins = atoms.shape[-1]
    place = (jnp.clip(atoms, -limit, limit) + limit) * ((bins - 1) / (2 * limit))
    number = lax.broadcasted_iota(jnp.float32, (*atoms.shape, bins), atoms.ndim)
    share = jnp.maximum(1 - jnp.abs(place[..., None] - number), 0)  # [..., K of atoms, K]
    return (probability[..., None] * share).sum(-2)
