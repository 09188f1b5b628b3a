"""What the three cart-poles of POPGym share: CartPole-v1's dynamics, rewards and ends.

Barto, Sutton and Anderson 1983, as in gymnasium.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.environment import EnvParams
from gymnax.environments.spaces import Box, Discrete

from rlseq.envs.base import Env
from rlseq.fields import Episode

GRAVITY = 9.8
MASS_CART = 1.0
MASS_POLE = 0.1
MASS = MASS_CART + MASS_POLE
HALF_LENGTH = 0.5  # of the pole
FORCE = 10.0
SECONDS = 0.02  # a step, explicit Euler
MAX_X = 2.4
MAX_THETA = np.deg2rad(12).item()
BOUNDS = np.array([2 * MAX_X, 2 * MAX_THETA], np.float32)  # of x and theta in observations


class CartPoleState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    x: jax.Array  # float32 [], cart position
    x_dot: jax.Array
    theta: jax.Array  # float32 [], pole angle, 0 is upright
    theta_dot: jax.Array


class CartPole(Env):
    """Balance the pole; every step pays 1 / max_steps, the failing one too.

    A fall terminates, max_steps steps truncate. A subclass says what is seen of the state.
    action int32 []: 0 pushes left, 1 pushes right.
    """

    can_truncate = True
    mean_length = 25  # about that of random play; of 12, 25 and 50 the fastest at 4096 environments

    def __init__(self, max_steps: Episode = 200):
        self.max_steps = max_steps
        self.reward_range = (1 / max_steps, 1 / max_steps)

    def start(self, key: jax.Array) -> CartPoleState:
        near_rest = jax.random.uniform(key, (4,), jnp.float32, -0.05, 0.05)
        return CartPoleState(jnp.int32(0), *near_rest)

    def advance(
        self, key: jax.Array, state: CartPoleState, action: jax.Array
    ) -> tuple[CartPoleState, jax.Array]:
        return push(state, action), jnp.float32(1 / self.max_steps)

    def is_terminated(self, state: CartPoleState, params: EnvParams) -> jax.Array:
        return (jnp.abs(state.x) > MAX_X) | (jnp.abs(state.theta) > MAX_THETA)

    def action_space(self, params: EnvParams) -> Discrete:
        return Discrete(2)

    def reveal(self, state: CartPoleState) -> jax.Array:
        """float32 [4]: x, its velocity, theta, its velocity."""
        return jnp.stack(state[1:])

    def state_space(self, params: EnvParams) -> Box:
        high = jnp.array([BOUNDS[0], jnp.inf, BOUNDS[1], jnp.inf], jnp.float32)
        return Box(-high, high, (4,), jnp.float32)


def push(state: CartPoleState, action: jax.Array) -> CartPoleState:
    """One Euler step of the cart and its pole under a push to one side."""
    force = jnp.where(action == 1, jnp.float32(FORCE), jnp.float32(-FORCE))
    sin, cos = jnp.sin(state.theta), jnp.cos(state.theta)
    # The equations solve for both accelerations at once, through the cart's without the pole.
    bare = (force + MASS_POLE * HALF_LENGTH * state.theta_dot**2 * sin) / MASS
    lever = HALF_LENGTH * (4 / 3 - MASS_POLE * cos**2 / MASS)
    theta_acc = (GRAVITY * sin - cos * bare) / lever
    x_acc = bare - MASS_POLE * HALF_LENGTH * theta_acc * cos / MASS
    return CartPoleState(
        time=state.time + 1,
        x=state.x + SECONDS * state.x_dot,
        x_dot=state.x_dot + SECONDS * x_acc,
        theta=state.theta + SECONDS * state.theta_dot,
        theta_dot=state.theta_dot + SECONDS * theta_acc,
    )
