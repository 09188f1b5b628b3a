"""Actor and critic around a sequence core."""

import flax.linen as nn
from gymnax.environments import spaces
from jax import Array

from rlseq.cores import make_core
from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError
from rlseq.nn.distributions import Distribution
from rlseq.nn.encoders import DenseStack
from rlseq.nn.heads import ActionKind, PolicyHead, ValueHead
from rlseq.types import Carry


class ActorCritic(nn.Module):
    """Encoder -> core -> heads; one trunk for both, or one each (`cores` has one or two entries).

    Every method takes obs [T, B, D] with reset bool [T, B], or obs [B, D] with reset [B] for
    method="step", and returns what stands in its name.
    """

    cores: tuple[nn.Module, ...]
    kind: ActionKind
    sizes: tuple[int, ...]
    encoder: tuple[int, ...]
    head: tuple[int, ...]

    def setup(self) -> None:
        self.encoders = [DenseStack(self.encoder) for _ in self.cores]
        self.actor_body, self.critic_body = DenseStack(self.head), DenseStack(self.head)
        self.policy, self.value = PolicyHead(self.kind, self.sizes), ValueHead()

    def init_carry(self, batch: int) -> Carry:
        """One carry a core."""
        return tuple(core.init_carry(batch) for core in self.cores)

    def __call__(self, carry: Carry, obs: Array, reset: Array) -> tuple[Carry, Distribution, Array]:
        """Whole sequences: (carry, distribution [T, B], values [T, B])."""
        return self._run(carry, obs, reset, "__call__")

    def step(self, carry: Carry, obs: Array, reset: Array) -> tuple[Carry, Distribution, Array]:
        """One step: (carry, distribution [B], values [B])."""
        return self._run(carry, obs, reset, "step")

    def _run(
        self, carry: Carry, obs: Array, reset: Array, method: str
    ) -> tuple[Carry, Distribution, Array]:
        pairs = []
        for core, encoder, c in zip(self.cores, self.encoders, carry, strict=True):
            pairs.append(getattr(core, method)(c, encoder(obs), reset))
        features = [y for _, y in pairs]
        policy = self.policy(self.actor_body(features[0]))
        value = self.value(self.critic_body(features[-1]))
        return tuple(c for c, _ in pairs), policy, value


def make_network(
    core: dict, action_space: spaces.Space, encoder: int, head: int, shared_core: bool
) -> ActorCritic:
    """The network for an action space; `encoder` and `head` are widths, two layers each.

    Raises InputError for an action space that has no head.
    """
    kind, sizes = action_head(action_space)
    options = dict(core)
    name = options.pop("name")
    cores = tuple(make_core(name, **options) for _ in range(1 if shared_core else 2))
    return ActorCritic(cores, kind, sizes, (encoder, cores[0].features), (head, head))


def action_head(space: spaces.Space) -> tuple[ActionKind, tuple[int, ...]]:
    """Which head an action space needs, and its sizes."""
    if isinstance(space, MultiDiscrete):
        return "multi_discrete", tuple(int(n) for n in space.nvec)
    if isinstance(space, spaces.Discrete):
        return "discrete", (int(space.n),)
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return "continuous", (int(space.shape[0]),)
    raise InputError(
        f"no policy head for {space}; heads exist for Discrete, MultiDiscrete, Box(A,)"
    )
