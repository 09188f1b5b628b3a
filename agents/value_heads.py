"""What the numbers of a Q-network stand for: a value each, or a distribution over returns."""

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.rl.n_step import huber, project, rescale, support, unscale


class ValueHead(Protocol):
    """Pure functions of outputs [..., K]."""

    @property
    def atoms(self) -> int:
        """K."""
        ...

    def values(self, outputs: Array) -> Array:
        """The expected returns [...]."""
        ...

    def target(self, reward: Array, discount: Array, following: Array) -> Array:
        """What the outputs [..., K] should be, from reward and discount [...] and the outputs
        [..., K] that are bootstrapped from."""
        ...

    def errors(self, outputs: Array, target: Array) -> tuple[Array, Array]:
        """(losses [...], sizes of the errors [...], which make priorities)."""
        ...


@dataclass(frozen=True)
class ScalarHead:
    """One number, with Huber's loss; `rescaled` it is h(Q) of Pohlen et al. 1805.11593."""

    rescaled: bool
    atoms: int = 1

    def values(self, outputs: Array) -> Array:
        """See `ValueHead`."""
        return unscale(outputs[..., 0]) if self.rescaled else outputs[..., 0]

    def target(self, reward: Array, discount: Array, following: Array) -> Array:
        """See `ValueHead`."""
        total = reward + discount * self.values(following)
        return (rescale(total) if self.rescaled else total)[..., None]

    def errors(self, outputs: Array, target: Array) -> tuple[Array, Array]:
        """See `ValueHead`."""
        error = (outputs - target)[..., 0]
        return huber(error), jnp.abs(error)


@dataclass(frozen=True)
class CategoricalHead:
    """Logits of `atoms` returns from -limit to limit (C51, Bellemare et al. 1707.06887)."""

    atoms: int
    limit: float

    def values(self, outputs: Array) -> Array:
        """See `ValueHead`."""
        return (jax.nn.softmax(outputs) * support(outputs, self.limit)).sum(-1)

    def target(self, reward: Array, discount: Array, following: Array) -> Array:
        """See `ValueHead`."""
        atoms = reward[..., None] + discount[..., None] * support(following, self.limit)
        return project(jax.nn.softmax(following), atoms, self.limit)

    def errors(self, outputs: Array, target: Array) -> tuple[Array, Array]:
        """See `ValueHead`; the size is the loss (Hessel et al. 1710.02298, section 4)."""
        loss = -(target * jax.nn.log_softmax(outputs)).sum(-1)
        return loss, loss


def make_value_head(kind: str, atoms: int, limit: float) -> ValueHead:
    """One of `r2d2_settings.VALUE_HEADS`; atoms and limit are of "categorical"."""
    if kind == "categorical":
        return CategoricalHead(atoms, limit)
    return ScalarHead(kind == "rescaled")
