"""N-delayed-match-to-sample (Khajehabdollahi et al. 2309.12927)."""

import jax
import jax.numpy as jnp

from rlseq.envs.memory.bit_stream import BitStream


class DelayedMatch(BitStream):
    """Say 1 when the current bit equals the first of the last n bits, n - 1 steps back, else 0.

    Rewards, shapes and errors are those of `BitStream`.
    """

    def right_answers(self, bits: jax.Array) -> jax.Array:
        lag = self.n - 1
        return (bits[lag:] == bits[:-lag]).astype(jnp.int8)
