"""PositionOnlyCartPole, StatelessCartPole in the paper (POPGym, 2303.01859; popgym 1.0.7)."""

import jax
import jax.numpy as jnp
from gymnax.environments.environment import EnvParams
from gymnax.environments.spaces import Box

from rlseq.envs.popgym.cartpole import BOUNDS, CartPole, CartPoleState
from rlseq.types import PyTree


class PositionOnlyCartPole(CartPole):
    """`CartPole` seeing positions, not velocities: obs float32 [2] (x, theta)."""

    def observe(
        self, key: jax.Array, state: CartPoleState, action: PyTree, params: EnvParams
    ) -> jax.Array:
        return jnp.stack([state.x, state.theta])

    def observation_space(self, params: EnvParams) -> Box:
        bounds = jnp.asarray(BOUNDS)
        return Box(-bounds, bounds, (2,), jnp.float32)
