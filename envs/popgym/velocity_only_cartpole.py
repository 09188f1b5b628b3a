"""VelocityOnlyCartPole (popgym 1.0.7; later than the paper)."""

import jax
import jax.numpy as jnp
from gymnax.environments.environment import EnvParams
from gymnax.environments.spaces import Box

from rlseq.envs.popgym.cartpole import CartPole, CartPoleState
from rlseq.types import PyTree


class VelocityOnlyCartPole(CartPole):
    """`CartPole` seeing velocities, not positions: obs float32 [2] (of x, of theta).

    popgym shows the positions on first observations, against its own description; here they are
    velocities too.
    """

    def observe(
        self, key: jax.Array, state: CartPoleState, action: PyTree, params: EnvParams
    ) -> jax.Array:
        return jnp.stack([state.x_dot, state.theta_dot])

    def observation_space(self, params: EnvParams) -> Box:
        return Box(-jnp.inf, jnp.inf, (2,), jnp.float32)
