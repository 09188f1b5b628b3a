"""What N-parity and N-delayed-match-to-sample share: random bits and an answer to each.

Both as in Khajehabdollahi et al. (2309.12927), where one network learns them for growing N.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Discrete

from rlseq.envs.base import Env
from rlseq.fields import Range
from rlseq.types import PyTree

Distance = Annotated[int, Range(2, 4096)]
Answers = Annotated[int, Range(1, 65_536)]


class BitStreamState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    bits: jax.Array  # int8 [L + 1]; bit `time` is shown
    answers: jax.Array  # int8 [L + 1 - (n - 1)], the first is due at step n - 1


class BitStream(Env):
    """A stream of random bits; from the n-th bit on, each asks for an answer about the last n.

    L = n - 1 + num_answers steps; an answer pays +-1 / num_answers, the n - 1 steps before them
    nothing. obs int32 [] the current bit, action int32 [] 0 or 1.
    """

    optimal_return = 1.0
    memoryless_return = 0.0

    def __init__(self, n: Distance = 2, num_answers: Answers = 32):
        self.n = n
        self.num_answers = num_answers
        self.max_steps = n - 1 + num_answers
        self.reward_range = (-1 / num_answers, 1 / num_answers)

    def right_answers(self, bits: jax.Array) -> jax.Array:
        """int8 [L + 1] -> int8 [L + 1 - (n - 1)], of the windows of n bits, 0 or 1."""
        raise NotImplementedError

    def start(self, key: jax.Array) -> BitStreamState:
        bits = jax.random.bernoulli(key, jnp.float32(0.5), (self.max_steps + 1,)).astype(jnp.int8)
        return BitStreamState(jnp.int32(0), bits, self.right_answers(bits))

    def advance(
        self, key: jax.Array, state: BitStreamState, action: jax.Array
    ) -> tuple[BitStreamState, jax.Array]:
        asked = state.time - (self.n - 1)
        right = action == state.answers[jnp.maximum(asked, 0)].astype(jnp.int32)
        scale = jnp.float32(1 / self.num_answers)
        reward = jnp.where(asked >= 0, jnp.where(right, scale, -scale), 0)
        return state._replace(time=state.time + 1), reward

    def observe(
        self, key: jax.Array, state: BitStreamState, action: PyTree, params: Any
    ) -> jax.Array:
        return state.bits[state.time].astype(jnp.int32)

    def action_space(self, params: Any) -> Discrete:
        return Discrete(2)

    def observation_space(self, params: Any) -> Discrete:
        return Discrete(2)
