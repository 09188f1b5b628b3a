"""The newest images side by side, stacked by the agent: a replay keeps each of them once."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from rlseq.types import Carry


class FrameStack:
    """`count` images [..., H, W, C] become one [..., H, W, count * C], the oldest first.

    Those before an episode began are zeros. With a count of 1 nothing is stacked, whatever the
    observations are.
    """

    def __init__(self, count: int, space: Any):
        self.count = count
        self.space = space

    def init_carry(self, batch: int) -> Carry:
        """The images before a fresh episode, [B, H, W, (count - 1) * C]."""
        if self.count == 1:
            return ()
        height, width, channels = self.space.shape
        return jnp.zeros((batch, height, width, (self.count - 1) * channels), self.space.dtype)

    def push(self, carry: Carry, obs: Array, reset: Array) -> tuple[Carry, Array]:
        """(carry, stack) with obs [B, H, W, C], the first of an episode where reset bool [B]."""
        if self.count == 1:
            return carry, obs
        past = jnp.where(jnp.expand_dims(reset, (1, 2, 3)), jnp.zeros_like(carry), carry)
        stack = jnp.concatenate([past, obs], axis=-1)
        return stack[..., self.space.shape[-1] :], stack

    def gather(self, obs: Array, reset: Array, env: Array, index: Array) -> Array:
        """Stacks [..., H, W, count * C] at indices of a ring with obs [E, L, ...], reset [E, L].

        The count - 1 rows before each place must be of the ring, or of an earlier episode.
        """
        if self.count == 1:
            return obs[env, index]
        length = obs.shape[1]
        steps = jnp.arange(1 - self.count, 1, dtype=jnp.int32)
        at = (index[..., None] + jnp.expand_dims(steps, range(index.ndim))) % length
        env = jnp.broadcast_to(env[..., None], at.shape)
        first = reset[env, at].astype(jnp.int32)
        later = jnp.flip(jnp.cumsum(jnp.flip(first, -1), axis=-1), -1) - first
        frames = obs[env, at]
        frames = jnp.where(jnp.expand_dims(later > 0, (-1, -2, -3)), jnp.zeros_like(frames), frames)
        frames = jnp.moveaxis(frames, -4, -2)
        return frames.reshape(*frames.shape[:-2], -1)
