"""PositionOnlyPendulum, StatelessPendulum in the paper (POPGym, 2303.01859; popgym 1.0.7).

The dynamics are Pendulum-v1's, as in gymnasium.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.environment import EnvParams
from gymnax.environments.spaces import Box

from rlseq.envs.base import Env
from rlseq.fields import Episode
from rlseq.types import PyTree

GRAVITY = 10.0  # the rod has mass 1 and length 1
SECONDS = 0.05  # a step
MAX_SPEED = 8.0
MAX_TORQUE = 2.0
MIDDLE = 16.2736044 / 2  # half of the highest cost of a step, popgym's figure


class PendulumState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    theta: jax.Array  # float32 [], 0 is upright; not wrapped
    theta_dot: jax.Array  # float32 []


class PositionOnlyPendulum(Env):
    """Swing a rod up and hold it there, seeing its angle, not its velocity.

    A step pays (1 - cost / 8.1368022) / max_steps, cost = angle^2 + 0.1 velocity^2 +
    0.001 torque^2 before the step; max_steps steps truncate. obs float32 [2] (cos, sin of the
    angle), action float32 [1], a torque clipped to -2 .. 2.
    """

    can_truncate = True

    def __init__(self, max_steps: Episode = 200):
        self.max_steps = max_steps
        self.reward_range = (-1 / max_steps, 1 / max_steps)

    def start(self, key: jax.Array) -> PendulumState:
        high = jnp.asarray(np.array([np.pi, 1], np.float32))
        theta, theta_dot = jax.random.uniform(key, (2,), jnp.float32, -high, high)
        return PendulumState(jnp.int32(0), theta, theta_dot)

    def advance(
        self, key: jax.Array, state: PendulumState, action: jax.Array
    ) -> tuple[PendulumState, jax.Array]:
        torque = jnp.clip(action[0], -MAX_TORQUE, MAX_TORQUE)
        angle = (state.theta + np.pi) % (2 * np.pi) - np.pi
        cost = angle**2 + 0.1 * state.theta_dot**2 + 0.001 * torque**2
        return swung(state, torque), (1 - cost / MIDDLE) / self.max_steps

    def is_terminated(self, state: PendulumState, params: EnvParams) -> jax.Array:
        return jnp.zeros((), bool)

    def observe(
        self, key: jax.Array, state: PendulumState, action: PyTree, params: EnvParams
    ) -> jax.Array:
        return jnp.stack([jnp.cos(state.theta), jnp.sin(state.theta)])

    def action_space(self, params: EnvParams) -> Box:
        return Box(-MAX_TORQUE, MAX_TORQUE, (1,), jnp.float32)

    def observation_space(self, params: EnvParams) -> Box:
        return Box(-1.0, 1.0, (2,), jnp.float32)

    def reveal(self, state: PendulumState) -> jax.Array:
        """float32 [3]: cos and sin of the angle, and the velocity."""
        return jnp.stack([jnp.cos(state.theta), jnp.sin(state.theta), state.theta_dot])

    def state_space(self, params: EnvParams) -> Box:
        high = jnp.array([1, 1, MAX_SPEED], jnp.float32)
        return Box(-high, high, (3,), jnp.float32)


def swung(state: PendulumState, torque: jax.Array) -> PendulumState:
    """One Euler step, the velocity first: a uniform rod turning about its end."""
    acceleration = 1.5 * GRAVITY * jnp.sin(state.theta) + 3 * torque
    speed = jnp.clip(state.theta_dot + SECONDS * acceleration, -MAX_SPEED, MAX_SPEED)
    return PendulumState(state.time + 1, state.theta + SECONDS * speed, speed)
