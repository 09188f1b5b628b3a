"""How observations reach an agent's network: images as they are, all else as flat vectors."""

import jax.numpy as jnp
from jax import Array

from rlseq.agents.networks import keeps_image
from rlseq.envs.spaces import flat_size, flatten
from rlseq.envs.wrappers import FlattenObservation, with_statistics
from rlseq.errors import InputError
from rlseq.nn.normalisers import RunningMoments, init_moments, normalise, update_moments
from rlseq.types import PyTree, VecEnv


class Observations:
    """The form that observations of one space take; running moments are kept by the agent.

    Images stay as they are, bytes for the most part, until they are inside the network. Everything
    else becomes float32 [..., D]; with `normalized`, its running mean is 0 and its deviation 1.

    Raises InputError for an encoder that does not fit the space, and images to normalise.
    """

    def __init__(self, env: VecEnv, encoder_kind: str, *, normalized: bool = False):
        self.space = env.spec.obs_space
        self.images = keeps_image(encoder_kind, self.space)
        self.normalized = normalized
        if self.images and normalized:
            raise InputError("agent.normalize_observations is for vectors, not for images")

    def wrap(self, env: VecEnv) -> VecEnv:
        """The environment with observations of that form; it counts statistics of its episodes."""
        env = with_statistics(env)
        return env if self.images else FlattenObservation(env)

    def flatten(self, obs: PyTree) -> Array:
        """Observations of the space as the network takes them: [B, H, W, C] or float32 [B, D]."""
        return obs if self.images else flatten(self.space, obs)

    def nothing(self, batch: int) -> Array:
        """Flattened observations [B, ...] of zeros."""
        if self.images:
            return jnp.zeros((batch, *self.space.shape), self.space.dtype)
        return jnp.zeros((batch, flat_size(self.space)), jnp.float32)

    def init_moments(self) -> RunningMoments:
        """Of nothing seen."""
        return init_moments(0 if self.images else flat_size(self.space))

    def normalise(self, moments: RunningMoments, obs: Array) -> Array:
        """Flattened observations [..., D] as the network reads them."""
        return normalise(moments, obs) if self.normalized else obs

    def update(self, moments: RunningMoments, obs: Array, mask: Array | None) -> RunningMoments:
        """The moments with flattened observations [T, E, D] where the mask [T, E] is True."""
        return update_moments(moments, obs, mask) if self.normalized else moments
