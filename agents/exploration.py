"""Acting by values: the best action, and a share of random ones."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class EpsilonGreedy(NamedTuple):
    """The action of the largest value, but a uniform one in a share epsilon of steps.

    A distribution like those of `rlseq.nn.distributions`; actions are int32 [...].
    """

    values: Array  # [..., A]
    epsilon: Array  # []

    def sample(self, key: Array) -> Array:
        share_key, action_key = jax.random.split(key)
        best = self.mode()
        mask = jax.random.bernoulli(share_key, self.epsilon, best.shape)
        return uniform_where(mask, best, self.values.shape[-1], action_key)

    def mode(self) -> Array:
        return jnp.argmax(self.values, axis=-1).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        return jnp.log(jnp.where(action == self.mode(), self._best(), self._other()))

    def entropy(self) -> Array:
        best, other = self._best(), self._other()
        others = (self.values.shape[-1] - 1) * jax.scipy.special.xlogy(other, other)
        return jnp.full(self.values.shape[:-1], -(jax.scipy.special.xlogy(best, best) + others))

    def _other(self) -> Array:
        """The probability of each action that is not the best."""
        return self.epsilon / self.values.shape[-1]

    def _best(self) -> Array:
        return 1 - self.epsilon + self._other()


def uniform_where(mask: Array, action: Array, num_actions: int, key: Array) -> Array:
    """Actions int32 [...]; uniform ones instead where the mask, bool [] or [...], is True."""
    uniform = jax.random.randint(key, action.shape, 0, num_actions, jnp.int32)
    return jnp.where(mask, uniform, action)


def linear_epsilon(step: Array, first: float, last: float, steps: int) -> Array:
    """float32 []: from `first` to `last` over `steps`, `last` ever after; `step` int32 []."""
    part = jnp.clip(step.astype(jnp.float32) / steps, 0, 1) if steps else jnp.float32(1)
    return first + part * (last - first)
