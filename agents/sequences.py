"""Sequences of a replay that begin with the memory that acted, for agents that learn from them."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.errors import InputError
from rlseq.replay.ring import ring_length
from rlseq.replay.starts import Starts
from rlseq.types import Carry, Core, Params, PyTree, Ring


class ReplaySettings(Protocol):
    """Hyper-parameters that have to fit each other."""

    @property
    def capacity(self) -> int: ...
    @property
    def warmup(self) -> int: ...
    @property
    def burn_in(self) -> int: ...


def has_memory(core: Core) -> bool:
    """Whether a core's carry holds anything."""
    return bool(jax.tree.leaves(jax.eval_shape(lambda: core.init_carry(1))))


def check_window(
    config: ReplaySettings,
    window: int,
    parts: str,
    num_envs: int,
    max_steps: int | None,
    *,
    memory: bool,
) -> None:
    """Raise InputError for sequences that the replay cannot hold, or a burn-in that is too long.

    Args:
        config: of the agent.
        window: rows of a sequence.
        parts: what they are the sum of, for the message.
        num_envs: environments that share the replay.
        max_steps: of the longest episode, where known.
        memory: whether there is any, which a burn-in fills.
    """
    c = config
    held = c.capacity // num_envs
    collected = min(c.warmup // num_envs, held)
    for rows, of in (
        (held, f"agent.capacity = {c.capacity} holds"),
        (collected, f"agent.warmup = {c.warmup} steps collect"),
    ):
        if window > rows:
            raise InputError(
                f"a sequence takes {window} rows ({parts}), more than {of} of each of "
                f"env.num_envs = {num_envs}: {rows}"
            )
    if memory and c.burn_in and max_steps is not None and c.burn_in >= max_steps:
        raise InputError(
            f"agent.burn_in = {c.burn_in} is as long as the longest episode, {max_steps} steps"
        )


def rows_at(ring: Ring, starts: Starts, length: int, skip: int = 0) -> tuple[Array, Array]:
    """(environments, indices), int32 [length, B] each, of the rows after the first `skip`."""
    first = starts.index + skip
    step = jnp.arange(length, dtype=jnp.int32)
    at = (first[None] + step[:, None]) % ring_length(ring)
    return jnp.broadcast_to(starts.env[None], at.shape), at


def stored_carry(carry: Carry, env: Array, at: Array) -> Carry:
    """Of the rows' carries, leaves [E, L, ...], those of the first of the indices [T, B]."""
    return jax.tree.map(lambda x: x[env[0], at[0]], carry)


def unroll(
    apply: Callable[..., Any], params: Params, carry: Carry, obs: Array, reset: Array, burn_in: int
) -> PyTree:
    """What a network gives for obs [burn_in + T, B, ...] after the burn-in: leaves [T, B, ...].

    The burn-in brings the carry up to date with these parameters; no gradient passes through it
    (Kapturowski et al. 2019, section 3). `apply` returns (carry, output).
    """
    if burn_in:
        before = apply(params, carry, obs[:burn_in], reset[:burn_in])
        carry = lax.stop_gradient(before[0])
    return apply(params, carry, obs[burn_in:], reset[burn_in:])[1]
