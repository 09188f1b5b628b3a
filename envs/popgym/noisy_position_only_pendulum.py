"""NoisyPositionOnlyPendulum, NoisyStatelessPendulum in the paper (POPGym; popgym 1.0.7)."""

import jax
from gymnax.environments.environment import EnvParams
from gymnax.environments.spaces import Box

from rlseq.envs.popgym.noise import Sigma, noisy, unbounded
from rlseq.envs.popgym.position_only_pendulum import PendulumState, PositionOnlyPendulum
from rlseq.fields import Episode
from rlseq.types import PyTree


class NoisyPositionOnlyPendulum(PositionOnlyPendulum):
    """`PositionOnlyPendulum` with noise of deviation `noise_sigma` on what is seen.

    Observations are clipped to -1 .. 1, the first one too; `clip_noise=False` leaves them as they
    are, like older JAX ports.
    """

    def __init__(self, noise_sigma: Sigma = 0.1, max_steps: Episode = 200, clip_noise: bool = True):
        super().__init__(max_steps)
        self.noise_sigma = noise_sigma
        self.clip_noise = clip_noise

    def observe(
        self, key: jax.Array, state: PendulumState, action: PyTree, params: EnvParams
    ) -> jax.Array:
        clean = super().observe(key, state, action, params)
        return noisy(key, clean, self.noise_sigma, self.observation_space(params))

    def observation_space(self, params: EnvParams) -> Box:
        bounded = super().observation_space(params)
        return bounded if self.clip_noise else unbounded(bounded)
