"""Memory length (bsuite's memory_len and memory_size, Osband et al. 1908.03568)."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box, Discrete

from rlseq.envs.base import Env
from rlseq.fields import Range
from rlseq.types import PyTree

Length = Annotated[int, Range(1, 4096)]
Bits = Annotated[int, Range(1, 4096)]


class MemoryLengthState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    context: jax.Array  # int32 [num_bits], 0 or 1
    query: jax.Array  # int32 [], which bit is asked for


class MemoryLength(Env):
    """Bits at the beginning, a question `memory_length` steps later: say the bit asked for.

    The last of the memory_length + 1 steps pays +-1, the others nothing. obs float32
    [num_bits + 2]: time left (from 1 to 0), the number of the bit asked for (on the observation
    to be answered, else 0), and the bits as +-1 (on the first two observations, as in bsuite,
    else 0); action int32 [] 0 or 1. A length of 1 shows bits and question together. There is no
    time limit that a long memory could run into: every episode reaches its answer.
    """

    optimal_return = 1.0
    reward_range = (-1.0, 1.0)

    def __init__(self, memory_length: Length = 64, num_bits: Bits = 1):
        self.memory_length = memory_length
        self.num_bits = num_bits
        self.max_steps = memory_length + 1
        self.memoryless_return = 1.0 if memory_length == 1 else 0.0

    def start(self, key: jax.Array) -> MemoryLengthState:
        context_key, query_key = jax.random.split(key)
        context = jax.random.bernoulli(context_key, jnp.float32(0.5), (self.num_bits,)).astype(
            jnp.int32
        )
        query = jax.random.randint(query_key, (), 0, self.num_bits, jnp.int32)
        return MemoryLengthState(jnp.int32(0), context, query)

    def advance(
        self, key: jax.Array, state: MemoryLengthState, action: jax.Array
    ) -> tuple[MemoryLengthState, jax.Array]:
        answer = jnp.where(action == state.context[state.query], jnp.float32(1), jnp.float32(-1))
        reward = jnp.where(state.time == self.memory_length, answer, 0)
        return state._replace(time=state.time + 1), reward

    def observe(
        self, key: jax.Array, state: MemoryLengthState, action: PyTree, params: Any
    ) -> jax.Array:
        clock = jnp.maximum(state.time - 1, 0)  # as in bsuite, it starts with the first step
        left = 1 - clock.astype(jnp.float32) / self.memory_length
        asked = jnp.where(clock == self.memory_length - 1, state.query, 0)
        bits = jnp.where(clock == 0, 2 * state.context - 1, 0)
        rest = jnp.concatenate([asked[None], bits]).astype(jnp.float32)
        return jnp.concatenate([left[None], rest])

    def action_space(self, params: Any) -> Discrete:
        return Discrete(2)

    def observation_space(self, params: Any) -> Box:
        high = float(max(1, self.num_bits - 1))
        return Box(-1.0, high, (self.num_bits + 2,), jnp.float32)
