"""N-parity (Khajehabdollahi et al. 2309.12927)."""

import jax
import jax.numpy as jnp

from rlseq.envs.memory.bit_stream import BitStream


class Parity(BitStream):
    """Say whether the number of ones among the last n bits, the current one included, is odd.

    Rewards, shapes and errors are those of `BitStream`.
    """

    def right_answers(self, bits: jax.Array) -> jax.Array:
        ones = jnp.pad(jnp.cumsum(bits, dtype=jnp.int32), (1, 0))
        return ((ones[self.n :] - ones[: -self.n]) % 2).astype(jnp.int8)
