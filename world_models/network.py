"""The networks of Drama in one flax module."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.dtypes import around
from rlseq.nn.encoders import NormedStack
from rlseq.nn.initialisers import fan_average
from rlseq.types import Carry
from rlseq.world_models.initial import dense_kernel
from rlseq.world_models.latents import log_probabilities, sample
from rlseq.world_models.sequence import SequenceModel
from rlseq.world_models.settings import DramaConfig


class DramaNetwork(nn.Module):
    """Encoder, posterior, decoder, sequence model, prior, reward and end, each as a method.

    Products are of the core's dtype where that is a half precision; what they give to losses is
    float32.
    """

    encoder: nn.Module
    decoder: nn.Module
    core: nn.Module
    num_actions: int
    config: DramaConfig

    def setup(self) -> None:
        c = self.config
        dense = partial(nn.Dense, dtype=(dtype := around(self.core.dtype)))
        self.sequence = SequenceModel(self.core, self.num_actions, c.dropout, c.initial)
        self.posterior_head, self.prior_head = (
            dense(c.latents * c.classes, kernel_init=dense_kernel(c.initial)) for _ in range(2)
        )
        self.reward_body, self.ending_body = (NormedStack((c.head,), dtype=dtype) for _ in range(2))
        # Rewards are imagined as 0 until something is learned, as in DreamerV3.
        self.reward_head = dense(c.bins, kernel_init=nn.initializers.zeros)
        self.ending_head = dense(1, kernel_init=fan_average())

    def __call__(self, carry: Carry, x: Array, action: Array, reset: Array) -> None:
        """Everything once, which makes all parameters."""
        latent = sample(self.posterior(self.features(x)), jax.random.key(0))
        self.decode(latent)
        _, hidden = self.scan(carry, latent, action, reset)
        for head in (self.prior, self.reward, self.termination_logit):
            head(hidden)

    def features(self, x: Array) -> Array:
        """What the encoder makes of x [..., *obs]: [..., F]."""
        return self.encoder(x)

    def posterior(self, features: Array) -> Array:
        """Log-probabilities [..., K, C] of the latents behind features [..., F]."""
        return self._categoricals(self.posterior_head(features))

    def prior(self, hidden: Array) -> Array:
        """Log-probabilities [..., K, C] of the next latents after hidden [..., H]."""
        return self._categoricals(self.prior_head(hidden))

    def decode(self, latent: Array) -> Array:
        """Latents [..., L] -> [..., *obs] as the loss compares them."""
        return self.decoder(latent)

    def project(self, latent: Array) -> Array:
        """The first part of `decode`, of decoders in two parts."""
        return self.decoder.project(latent)

    def upsample(self, x: Array) -> Array:
        """The second part, from what `project` gives."""
        return self.decoder.upsample(x)

    def scan(self, carry: Carry, latent: Array, action: Array, reset: Array) -> tuple[Carry, Array]:
        """The sequence model over [T, B, L]."""
        return self.sequence(carry, latent, action, reset)

    def step(self, carry: Carry, latent: Array, action: Array, reset: Array) -> tuple[Carry, Array]:
        """One step of the sequence model, [B, L]."""
        return self.sequence.step(carry, latent, action, reset)

    def reward(self, hidden: Array) -> Array:
        """Two-hot logits [..., bins]."""
        return self.reward_head(self.reward_body(hidden)).astype(jnp.float32)

    def termination_logit(self, hidden: Array) -> Array:
        """The logit [...] of an end."""
        return self.ending_head(self.ending_body(hidden))[..., 0].astype(jnp.float32)

    def _categoricals(self, logits: Array) -> Array:
        c = self.config
        logits = logits.astype(jnp.float32).reshape(*logits.shape[:-1], c.latents, c.classes)
        return log_probabilities(logits, c.unimix)
