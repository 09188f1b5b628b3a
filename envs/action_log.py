"""The action log of environments whose state lives outside JAX: seeds and actions restore them.

Such an environment keeps an `ActionLog` in its state when it is built with `action_log=L`. The
caller reads the log at least every L steps; `replay` takes all actions again.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from rlseq.envs.batched import Wrapper
from rlseq.types import PyTree, VecEnv


class ActionLog(NamedTuple):
    """Seeds and recent actions of E environments since their reset."""

    seeds: Array  # [E] int32, of the reset
    recent: Array  # [E, L, ...] the last L actions; that of step t lies at t % L
    steps: Array  # [E] int32 since the reset, all the same
    seen: Array  # [E] uint32, a checksum of every observation


@runtime_checkable
class HostEnv(Protocol):
    """A VecEnv whose state lives outside JAX and is restored by replaying its actions."""

    num_envs: int

    def replay(self, seeds: np.ndarray, actions: np.ndarray) -> Array:
        """Reset R environments by seeds [R] and take actions [T, R, ...]: `seen` [R].

        R is num_envs times the members of the vmap that is to go on with them.
        """
        ...


@runtime_checkable
class FilmedEnv(HostEnv, Protocol):
    """A HostEnv that renders its episodes."""

    frames_per_second: int

    def film(self, seeds: np.ndarray, actions: np.ndarray) -> Iterator[np.ndarray]:
        """Frames uint8 [H, W, 3] of one environment: seeds [1], actions [T, 1]."""
        ...


def find(env: VecEnv) -> HostEnv | None:
    """The environment inside all wrappers, if its state lives outside JAX."""
    while isinstance(env, Wrapper):
        env = env.inner
    return env if isinstance(env, HostEnv) else None


def start(seeds: Array, action: jax.ShapeDtypeStruct, length: int, obs: PyTree) -> ActionLog:
    """The log after a reset with obs [E, ...]; `action` is any element of the action space."""
    recent = jnp.zeros((len(seeds), length, *action.shape), action.dtype)
    nothing = jnp.zeros(len(seeds), jnp.uint32)
    return ActionLog(seeds, recent, nothing.astype(jnp.int32), look(nothing, obs))


def record(log: ActionLog, action: Array, obs: PyTree) -> ActionLog:
    """The log after one more step: action [E, ...] led to obs [E, ...]."""
    rows, length = jnp.arange(len(log.steps)), log.recent.shape[1]
    recent = log.recent.at[rows, log.steps % length].set(action.astype(log.recent.dtype))
    return ActionLog(log.seeds, recent, log.steps + 1, look(log.seen, obs))


def look(seen: Array, obs: PyTree) -> Array:
    """`seen` [E] after observations [E, ...], a checksum of every bit and its position."""
    for leaf in jax.tree.leaves(obs):
        words = words_of(leaf)
        # Odd factors: each word moves the sum, whichever of its bits changes.
        factors = 2 * jnp.arange(words.shape[1], dtype=jnp.uint32) + 1
        seen = seen * jnp.uint32(0x01000193) + (words * factors[None]).sum(1, dtype=jnp.uint32)
    return seen


def words_of(x: Array) -> Array:
    """The bits of x [E, ...] as uint32 [E, W], the last word filled up with zeros."""
    flat = x.reshape(len(x), -1)
    if flat.dtype == jnp.bool_:
        flat = flat.astype(jnp.uint8)
    if flat.dtype.itemsize < 4:
        narrow = lax.bitcast_convert_type(flat, jnp.dtype(f"uint{8 * flat.dtype.itemsize}"))
        per_word = 4 // flat.dtype.itemsize
        padded = jnp.pad(narrow, ((0, 0), (0, -flat.shape[1] % per_word)))
        return lax.bitcast_convert_type(padded.reshape(len(x), -1, per_word), jnp.uint32)
    return lax.bitcast_convert_type(flat, jnp.uint32).reshape(len(x), -1)
