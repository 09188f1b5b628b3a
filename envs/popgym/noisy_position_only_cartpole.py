"""NoisyPositionOnlyCartPole, NoisyStatelessCartPole in the paper (POPGym; popgym 1.0.7)."""

import jax
from gymnax.environments.environment import EnvParams

from rlseq.envs.popgym.cartpole import CartPoleState
from rlseq.envs.popgym.noise import Sigma, noisy
from rlseq.envs.popgym.position_only_cartpole import PositionOnlyCartPole
from rlseq.fields import Episode
from rlseq.types import PyTree


class NoisyPositionOnlyCartPole(PositionOnlyCartPole):
    """`PositionOnlyCartPole` with noise of deviation `noise_sigma` on what is seen.

    Observations are clipped to their bounds, the first one too; the dynamics know no noise.
    """

    def __init__(self, noise_sigma: Sigma = 0.1, max_steps: Episode = 200):
        super().__init__(max_steps)
        self.noise_sigma = noise_sigma

    def observe(
        self, key: jax.Array, state: CartPoleState, action: PyTree, params: EnvParams
    ) -> jax.Array:
        clean = super().observe(key, state, action, params)
        return noisy(key, clean, self.noise_sigma, self.observation_space(params))
