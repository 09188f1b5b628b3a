"""Actor and twin critics of the soft actor-critic, each on a memory of its own, and the two kinds
of actions that they are for."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from jax import Array

from rlseq.agents.networks import RecurrentTrunk, as_float32
from rlseq.envs.spaces import describe
from rlseq.errors import InputError
from rlseq.nn.distributions import Categorical, TanhGaussian
from rlseq.nn.encoders import DenseStack
from rlseq.nn.initialisers import orthogonal

LOG_STD = (-20.0, 2.0)  # Haarnoja et al. 1812.05905, the released code
ENTROPY_SHARE = 0.1  # ours: of the most that n choices can have; Christodoulou 1910.07207: 0.98

# (features [..., D], actions [..., A] where they are an input) -> [2, ..., outputs]
Values = Callable[..., Array]


class SoftActor(RecurrentTrunk):
    """(carry, outputs [..., N]), of which `Actions.policy` makes a distribution."""

    outputs: int
    head: tuple[int, ...]

    def setup(self) -> None:
        self.body = DenseStack(self.head, dtype=self.dtype)
        self.last = nn.Dense(self.outputs, kernel_init=orthogonal(0.01))

    def heads(self, features: list[Array]) -> tuple[Array]:
        """(outputs,)."""
        return (self.last(as_float32(self.body(features[0]))),)


class TwinCritic(RecurrentTrunk):
    """(carry, features [..., D]) of one memory, and two heads on them: `values`.

    Actions come in after the memory (Ni et al. 2110.05038), so that many of them are cheap.
    """

    outputs: int
    head: tuple[int, ...]

    def setup(self) -> None:
        self.bodies = [DenseStack(self.head, dtype=self.dtype) for _ in range(2)]
        self.last = [nn.Dense(self.outputs, kernel_init=orthogonal(0.1)) for _ in range(2)]

    def heads(self, features: list[Array]) -> tuple[Array]:
        """(features,)."""
        return (features[0],)

    def values(self, *inputs: Array) -> Array:
        """[2, ..., outputs] for features [..., D] and, where they are an input, actions."""
        x = jnp.concatenate(inputs, axis=-1)
        pairs = zip(self.bodies, self.last, strict=True)
        return jnp.stack([last(as_float32(body(x))) for body, last in pairs])

    def whole(self, carry: Any, obs: Array, reset: Array, *action: Array) -> Array:
        """All of it in one step, which makes all parameters."""
        return self.values(self.step(carry, obs, reset)[1], *action)


class Actions(Protocol):
    """What differs between kinds of actions; pure functions over any leading axes."""

    @property
    def actor_outputs(self) -> int: ...

    @property
    def critic_outputs(self) -> int: ...

    @property
    def inputs(self) -> int:
        """Numbers of an action that the critics read; 0: they give values of all actions."""
        ...

    @property
    def target_entropy(self) -> float:
        """In nats, where none is configured."""
        ...

    def policy(self, outputs: Array) -> Any:
        """The distribution from the actor's outputs [..., N]."""
        ...

    def taken(self, values: Values, features: Array, action: Array) -> Array:
        """Both values [2, ...] of actions of the environment."""
        ...

    def soft_value(
        self, policy: Any, values: Values, features: Array, temperature: Array, key: Array
    ) -> tuple[Array, Array]:
        """(E[min Q - temperature log pi] [...], entropy [...]), exact or of one sample, with
        gradients to the policy (1812.05905, equation 3)."""
        ...


@dataclass(frozen=True)
class ContinuousActions:
    """Of Box(A,), squashed by tanh. Critics and entropies are on the scale of -1 .. 1, so that
    the units of the box do not matter."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    critic_outputs: int = 1

    @property
    def inputs(self) -> int:
        """A."""
        return len(self.low)

    @property
    def actor_outputs(self) -> int:
        """Means and logarithms of deviations."""
        return 2 * self.inputs

    @property
    def target_entropy(self) -> float:
        """-A (1812.05905, appendix D)."""
        return -float(self.inputs)

    def policy(self, outputs: Array) -> TanhGaussian:
        """See `Actions`."""
        mean, log_std = jnp.split(outputs, 2, axis=-1)
        return TanhGaussian(mean, jnp.clip(log_std, *LOG_STD), *self._box(mean))

    def taken(self, values: Values, features: Array, action: Array) -> Array:
        """See `Actions`."""
        middle, half = self._box(action)
        return values(features, jnp.clip((action - middle) / half, -1, 1))[..., 0]

    def soft_value(
        self, policy: TanhGaussian, values: Values, features: Array, temperature: Array, key: Array
    ) -> tuple[Array, Array]:
        """See `Actions`; of one sample."""
        action, log_prob = policy.draw(key)
        return values(features, action)[..., 0].min(0) - temperature * log_prob, -log_prob

    def _box(self, like: Array) -> tuple[Array, Array]:
        """(middle, half of the sides) for actions [..., A]."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        middle, half = (
            jnp.broadcast_to(jnp.asarray(x, like.dtype), like.shape)
            for x in ((low + high) / 2, (high - low) / 2)
        )
        return middle, half


@dataclass(frozen=True)
class DiscreteActions:
    """One choice of n: critics give all values, and expectations are exact (1910.07207)."""

    n: int
    inputs: int = 0

    @property
    def actor_outputs(self) -> int:
        """Logits."""
        return self.n

    @property
    def critic_outputs(self) -> int:
        """A value each."""
        return self.n

    @property
    def target_entropy(self) -> float:
        """A share of that of uniform actions."""
        return ENTROPY_SHARE * math.log(self.n)

    def policy(self, outputs: Array) -> Categorical:
        """See `Actions`."""
        return Categorical(outputs)

    def taken(self, values: Values, features: Array, action: Array) -> Array:
        """See `Actions`."""
        every = values(features)
        index = jnp.broadcast_to(action[None, ..., None], (2, *action.shape, 1))
        return jnp.take_along_axis(every, index, axis=-1)[..., 0]

    def soft_value(
        self, policy: Categorical, values: Values, features: Array, temperature: Array, key: Array
    ) -> tuple[Array, Array]:
        """See `Actions`; exact (1910.07207, equation 10)."""
        del key
        worst = values(features).min(0)
        entropy = policy.entropy()
        return (jax.nn.softmax(policy.logits) * worst).sum(-1) + temperature * entropy, entropy


def make_actions(space: spaces.Space) -> Actions:
    """The kind of actions that a space has. Raises InputError for any other space."""
    if isinstance(space, spaces.Discrete):
        return DiscreteActions(int(space.n))
    wanted = "sac needs Discrete actions, or Box(A,) of floats between finite bounds"
    if (
        not isinstance(space, spaces.Box)
        or len(space.shape) != 1
        or not jnp.issubdtype(space.dtype, jnp.floating)
    ):
        raise InputError(f"{wanted}, got {describe(space)}")
    low, high = (
        np.broadcast_to(np.asarray(b, np.float64), space.shape) for b in (space.low, space.high)
    )
    if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise InputError(f"{wanted}, each above its lower one: got {space}")
    return ContinuousActions(tuple(low.tolist()), tuple(high.tolist()))
