"""T-maze (Bakker 2001, "Reinforcement learning with long short-term memory")."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box, Discrete

from rlseq.envs.base import Env
from rlseq.fields import Range
from rlseq.types import PyTree

FORWARD, BACK, UP, DOWN = range(4)

Corridor = Annotated[int, Range(1, 1_000_000)]


class TMazeState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    position: jax.Array  # int32 [], 0 at the sign, corridor_length at the junction
    sign: jax.Array  # int32 [], 1 when the prize is up, -1 when it is down
    turned: jax.Array  # bool [], the agent has left the junction by a side


class TMaze(Env):
    """A sign at the start tells on which side of the far junction the prize is.

    Turning at the junction ends the episode: +1 on the right side, -1 on the wrong one. Any other
    step that does not lead forward costs 1 / max_steps, max_steps = 2 * (corridor_length + 1),
    after which the episode is cut. obs float32 [3]: the sign (+-1 at the start, else 0), in the
    corridor, at the junction; action int32 []: forward, back, up, down.
    """

    can_truncate = True
    optimal_return = 1.0
    reward_range = (-1.0, 1.0)
    memoryless_return = 0.0

    def __init__(self, corridor_length: Corridor = 10):
        self.corridor_length = corridor_length
        self.max_steps = 2 * (corridor_length + 1)

    def start(self, key: jax.Array) -> TMazeState:
        sign = 2 * jax.random.bernoulli(key, jnp.float32(0.5)).astype(jnp.int32) - 1
        return TMazeState(jnp.int32(0), jnp.int32(0), sign, jnp.zeros((), bool))

    def advance(
        self, key: jax.Array, state: TMazeState, action: jax.Array
    ) -> tuple[TMazeState, jax.Array]:
        step = jnp.where(action == FORWARD, 1, jnp.where(action == BACK, -1, 0))
        position = jnp.clip(state.position + step, 0, self.corridor_length)
        turned = (state.position == self.corridor_length) & (action >= UP)
        side = jnp.where(action == UP, 1, -1)
        outcome = jnp.where(side == state.sign, jnp.float32(1), jnp.float32(-1))
        waste = jnp.where(position > state.position, 0, jnp.float32(-1 / self.max_steps))
        reward = jnp.where(turned, outcome, waste)
        return TMazeState(state.time + 1, position, state.sign, turned), reward

    def is_terminated(self, state: TMazeState, params: Any) -> jax.Array:
        return state.turned

    def observe(self, key: jax.Array, state: TMazeState, action: PyTree, params: Any) -> jax.Array:
        at_start, at_end = state.position == 0, state.position == self.corridor_length
        parts = [jnp.where(at_start, state.sign, 0), ~at_start & ~at_end, at_end]
        return jnp.stack([part.astype(jnp.float32) for part in parts])

    def action_space(self, params: Any) -> Discrete:
        return Discrete(4)

    def observation_space(self, params: Any) -> Box:
        return Box(-1.0, 1.0, (3,), jnp.float32)
