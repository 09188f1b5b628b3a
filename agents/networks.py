"""Actor and critic around a sequence core."""

import flax.linen as nn
import jax.numpy as jnp
from gymnax.environments import spaces
from jax import Array

from rlseq.cores import make_core
from rlseq.envs.spaces import MOST_VALUES, MultiBinary, MultiDiscrete
from rlseq.errors import InputError
from rlseq.nn.distributions import Distribution
from rlseq.nn.encoders import DenseStack
from rlseq.nn.heads import ActionKind, PolicyHead, ValueHead
from rlseq.nn.pixels import BOARD, BOARD_PATCHES, NATURE, PATCHES, PixelEncoder
from rlseq.types import Carry

ENCODERS = ("auto", "dense", "conv", "patch")
# Kernels by the kind of encoder, for images and for boards, whose shorter side is below BOARD_SIDE.
KERNELS = {"dense": ((), ()), "conv": (NATURE, BOARD), "patch": (PATCHES, BOARD_PATCHES)}
BOARD_SIDE = 36  # of a smaller image NATURE leaves nothing
SMALLEST = 4  # and of a smaller one BOARD_PATCHES


class ActorCritic(nn.Module):
    """Encoder -> core -> heads; one trunk for both, or one each (`cores` has one or two entries).

    Every method takes obs [T, B, ...] with reset bool [T, B], or obs [B, ...] with reset [B] for
    method="step", and returns what stands in its name.
    """

    encoders: tuple[nn.Module, ...]
    cores: tuple[nn.Module, ...]
    kind: ActionKind
    sizes: tuple[int, ...]
    head: tuple[int, ...]

    def setup(self) -> None:
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
        features = [y.astype(jnp.float32) for _, y in pairs]  # the core may have another dtype
        policy = self.policy(self.actor_body(features[0]))
        value = self.value(self.critic_body(features[-1]))
        return tuple(c for c, _ in pairs), policy, value


def make_network(
    core: dict,
    obs_space: spaces.Space,
    action_space: spaces.Space,
    encoder_kind: str,
    encoder: int,
    head: int,
    shared_core: bool,
) -> ActorCritic:
    """The network for two spaces; `encoder` and `head` are widths, two dense layers each.

    Raises InputError for an action space that has no head and an encoder that is unknown or does
    not fit the observations.
    """
    kind, sizes = action_head(action_space)
    options = dict(core)
    name = options.pop("name")
    trunks = range(1 if shared_core else 2)
    cores = tuple(make_core(name, **options) for _ in trunks)
    widths = (encoder, cores[0].features)
    encoders = tuple(make_encoder(encoder_kind, obs_space, widths) for _ in trunks)
    return ActorCritic(encoders, cores, kind, sizes, (head, head))


def make_encoder(kind: str, space: spaces.Space, widths: tuple[int, ...]) -> nn.Module:
    """A module for observations as the agent keeps them: images if `keeps_image`, else vectors."""
    if not keeps_image(kind, space):
        return DenseStack(widths)
    assert isinstance(space, spaces.Box)
    board = min(space.shape[:2]) < BOARD_SIDE
    return PixelEncoder(KERNELS["conv" if kind == "auto" else kind][board], widths)


def keeps_image(kind: str, space: spaces.Space) -> bool:
    """Whether an encoder takes observations of a space as they are, [..., H, W, C].

    "auto" is "conv" for images, Box(H, W, C) of uint8, and "dense" for everything else, boards of
    other dtypes too. Raises InputError where "conv" or "patch" has no Box(H, W, C), or a small one.
    """
    picture = isinstance(space, spaces.Box) and len(space.shape) == 3
    if kind in ("conv", "patch"):
        if not picture:
            raise InputError(f"agent.encoder_kind={kind} needs observations Box(H, W, C): {space}")
        if min(space.shape[:2]) < SMALLEST:
            raise InputError(
                f"agent.encoder_kind={kind} needs pictures of at least {SMALLEST} x {SMALLEST}, "
                f"got {space.shape[0]} x {space.shape[1]}"
            )
        return True
    if not isinstance(space, spaces.Box) or not picture or space.dtype != jnp.uint8:
        return False
    return kind == "dense" or min(space.shape[:2]) >= SMALLEST


def action_head(space: spaces.Space) -> tuple[ActionKind, tuple[int, ...]]:
    """Which head an action space needs, and its sizes."""
    if isinstance(space, MultiDiscrete):
        return "multi_discrete", tuple(int(n) for n in space.nvec)
    if isinstance(space, spaces.Discrete):
        return "discrete", (int(space.n),)
    if isinstance(space, MultiBinary):
        return "binary", (space.n,)
    floats = isinstance(space, spaces.Box) and jnp.issubdtype(space.dtype, jnp.floating)
    if floats and len(space.shape) == 1:
        return "continuous", (int(space.shape[0]),)
    raise InputError(
        f"no policy head for {space}; heads exist for Discrete, MultiDiscrete, MultiBinary, "
        "Box(A,) of floats, and Box of whole numbers between finite bounds with at most "
        f"{MOST_VALUES:,} values an entry"
    )
