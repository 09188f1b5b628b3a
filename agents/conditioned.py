"""A policy that also reads the return still to be earned and the action before."""

from typing import NamedTuple

import flax.linen as nn
from jax import Array

from rlseq.agents.networks import RecurrentTrunk, as_float32
from rlseq.nn.distributions import Distribution
from rlseq.nn.encoders import DenseStack
from rlseq.nn.heads import ActionKind, PolicyHead


class ConditionedInput(NamedTuple):
    """What one step reads; leading axes [T, B] or [B]."""

    obs: Array  # [..., D] or images
    to_go: Array  # [...] float32, the return still to be earned, scaled
    action: Array  # [..., A] float32, the last one flattened; 0 where an episode begins


class ConditionedEncoder(nn.Module):
    """ConditionedInput -> [..., features]: embeddings of its parts, added and normalised.

    Chen et al. 2106.01345, section 3, where each part is a token of its own.
    """

    encoder: nn.Module  # of observations; its last layer has `features`
    features: int
    condition: bool  # False leaves returns out
    dtype: str = "float32"  # of products

    @nn.compact
    def __call__(self, x: ConditionedInput) -> Array:
        embedded = as_float32(self.encoder(x.obs))
        action = nn.Dense(self.features, dtype=self.dtype, name="action")
        embedded = embedded + as_float32(action(x.action))
        if self.condition:  # returns are float32, and one number makes no large product
            embedded = embedded + nn.Dense(self.features, name="to_go")(x.to_go[..., None])
        return nn.LayerNorm()(embedded)


class ConditionedPolicy(RecurrentTrunk):
    """(carry, distribution over actions)."""

    kind: ActionKind
    sizes: tuple[int, ...]
    head: tuple[int, ...]

    def setup(self) -> None:
        self.body = DenseStack(self.head, dtype=self.dtype)
        self.policy = PolicyHead(self.kind, self.sizes)

    def heads(self, features: list[Array]) -> tuple[Distribution]:
        """(distribution over actions,)."""
        return (self.policy(as_float32(self.body(features[0]))),)
