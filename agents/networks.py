"""Networks around a sequence core: a trunk of encoders and cores, and heads on it."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from gymnax.environments import spaces
from jax import Array

from rlseq.cores import make_core
from rlseq.cores.dtypes import around
from rlseq.envs.spaces import MOST_VALUES, MultiBinary, MultiDiscrete
from rlseq.errors import InputError
from rlseq.nn.distributions import Distribution
from rlseq.nn.encoders import DenseStack
from rlseq.nn.heads import ActionKind, PolicyHead, ValueHead
from rlseq.nn.initialisers import orthogonal
from rlseq.nn.pixels import (
    BOARD,
    BOARD_PATCHES,
    DATA_EFFICIENT,
    NATURE,
    PATCHES,
    PixelEncoder,
)
from rlseq.types import Carry

ENCODERS = ("auto", "dense", "conv", "patch", "efficient")
# Kernels by the kind of encoder, for images and for boards, whose shorter side is below BOARD_SIDE.
KERNELS = {
    "dense": ((), ()),
    "conv": (NATURE, BOARD),
    "patch": (PATCHES, BOARD_PATCHES),
    "efficient": (DATA_EFFICIENT, BOARD_PATCHES),
}
BOARD_SIDE = 36  # of a smaller image NATURE leaves nothing
SMALLEST = 4  # and of a smaller one BOARD_PATCHES


class RecurrentTrunk(nn.Module):
    """Encoder -> core, once or several times side by side; a subclass puts heads on the features.

    Every method takes obs [T, B, ...] with reset bool [T, B], or obs [B, ...] with reset [B] for
    method="step", and returns the carry and what the heads give.
    """

    encoders: tuple[nn.Module, ...]
    cores: tuple[Any, ...]

    @property
    def dtype(self) -> str:
        """Of products around the core; heads are given float32 and give it."""
        return around(self.cores[0].dtype)

    def heads(self, features: list[Array]) -> tuple:
        """What becomes of the features [..., D] of each core."""
        raise NotImplementedError

    def init_carry(self, batch: int) -> Carry:
        """One carry a core."""
        return tuple(core.init_carry(batch) for core in self.cores)

    def __call__(self, carry: Carry, obs: Array, reset: Array) -> tuple:
        """Whole sequences: (carry, *heads) with leaves [T, B, ...]."""
        return self._run(carry, obs, reset, "__call__")

    def step(self, carry: Carry, obs: Array, reset: Array) -> tuple:
        """One step: (carry, *heads) with leaves [B, ...]."""
        return self._run(carry, obs, reset, "step")

    def _run(self, carry: Carry, obs: Array, reset: Array, method: str) -> tuple:
        pairs = []
        for core, encoder, c in zip(self.cores, self.encoders, carry, strict=True):
            pairs.append(getattr(core, method)(c, encoder(obs), reset))
        features = [as_float32(y) for _, y in pairs]  # the core may have another dtype
        return tuple(c for c, _ in pairs), *self.heads(features)


class ActorCritic(RecurrentTrunk):
    """A policy and a value, of one trunk or one each: (carry, distribution, values)."""

    kind: ActionKind
    sizes: tuple[int, ...]
    head: tuple[int, ...]

    def setup(self) -> None:
        self.actor_body, self.critic_body = (
            DenseStack(self.head, dtype=self.dtype) for _ in range(2)
        )
        self.policy, self.value = PolicyHead(self.kind, self.sizes), ValueHead()

    def heads(self, features: list[Array]) -> tuple[Distribution, Array]:
        """(distribution over actions, values)."""
        policy = self.policy(as_float32(self.actor_body(features[0])))
        return policy, self.value(as_float32(self.critic_body(features[-1])))


class QNetwork(RecurrentTrunk):
    """Values of discrete actions: (carry, values [..., num_actions]); all layers are normalised."""

    num_actions: int
    head: tuple[int, ...]

    def setup(self) -> None:
        self.body = DenseStack(self.head, norm=True, dtype=self.dtype)
        self.values = nn.Dense(self.num_actions, kernel_init=orthogonal(1.0))

    def heads(self, features: list[Array]) -> tuple[Array]:
        """(values of all actions,)."""
        return (self.values(as_float32(self.body(features[0]))),)


class DuelingNetwork(RecurrentTrunk):
    """Values of discrete actions, each K numbers: (carry, outputs [..., num_actions, K]).

    Dueling streams (Wang et al. 1511.06581, equation 9): a value of the state and the advantages of
    actions, less their mean. Without `dueling` one stream gives them all. `head` are the widths of
    each stream's own layers.
    """

    num_actions: int
    atoms: int
    head: tuple[int, ...]
    dueling: bool = True

    def setup(self) -> None:
        self.bodies = [DenseStack(self.head, dtype=self.dtype) for _ in range(1 + self.dueling)]
        self.advantage = nn.Dense(self.num_actions * self.atoms, kernel_init=orthogonal(0.1))
        self.value = nn.Dense(self.atoms, kernel_init=orthogonal(0.1)) if self.dueling else None

    def heads(self, features: list[Array]) -> tuple[Array]:
        """(outputs of all actions,)."""
        x = features[0]
        y = self.advantage(as_float32(self.bodies[0](x)))
        y = y.reshape(*y.shape[:-1], self.num_actions, self.atoms)
        if self.value is None:
            return (y,)
        value = self.value(as_float32(self.bodies[1](x)))
        return (value[..., None, :] + y - y.mean(-2, keepdims=True),)


def as_float32(x: Array) -> Array:
    """What losses and distributions are computed in."""
    return x.astype(jnp.float32)


def make_network(
    core: dict,
    obs_space: spaces.Space,
    action_space: spaces.Space,
    encoder_kind: str,
    encoder: int,
    head: int,
    shared_core: bool,
) -> ActorCritic:
    """Actor and critic for two spaces; `encoder` and `head` are widths, two dense layers each.

    Raises InputError for an action space that has no head and an encoder that is unknown or does
    not fit the observations.
    """
    kind, sizes = action_head(action_space)
    trunk = make_trunk(core, obs_space, encoder_kind, encoder, count=1 if shared_core else 2)
    return ActorCritic(*trunk, kind, sizes, (head, head))


def make_trunk(
    core: dict,
    obs_space: spaces.Space,
    encoder_kind: str,
    encoder: int,
    *,
    count: int = 1,
    norm: bool = False,
) -> tuple[tuple[nn.Module, ...], tuple[nn.Module, ...]]:
    """`count` encoders and cores for a `RecurrentTrunk`; `norm` normalises the encoders' layers.

    Raises InputError as `make_encoder` and `rlseq.make_core`.
    """
    options = dict(core)
    name = options.pop("name")
    cores = tuple(make_core(name, **options) for _ in range(count))
    widths = (encoder, cores[0].features)
    dtype = around(cores[0].dtype)
    make = partial(make_encoder, encoder_kind, obs_space, widths, norm=norm, dtype=dtype)
    return tuple(make() for _ in range(count)), cores


def make_encoder(
    kind: str,
    space: spaces.Space,
    widths: tuple[int, ...],
    *,
    norm: bool = False,
    dtype: str = "float32",
) -> nn.Module:
    """A module for observations as the agent keeps them: images if `keeps_image`, else vectors.

    `dtype` is of products and results.
    """
    if not keeps_image(kind, space):
        return DenseStack(widths, norm, dtype)
    assert isinstance(space, spaces.Box)
    board = min(space.shape[:2]) < BOARD_SIDE
    kernels = KERNELS["conv" if kind == "auto" else kind][board]
    return PixelEncoder(kernels, widths, norm=norm, dtype=dtype)


def keeps_image(kind: str, space: spaces.Space) -> bool:
    """Whether an encoder takes observations of a space as they are, [..., H, W, C].

    "auto" is "conv" for images, Box(H, W, C) of uint8, and "dense" for everything else, boards of
    other dtypes too. Raises InputError where "conv", "patch" or "efficient" has no Box(H, W, C), or
    a small one.
    """
    shape = space.shape if isinstance(space, spaces.Box) else ()
    image = len(shape) == 3
    if kind in ("conv", "patch", "efficient"):
        if not image:
            raise InputError(f"agent.encoder_kind={kind} needs observations Box(H, W, C): {space}")
        if min(shape[:2]) < SMALLEST:
            raise InputError(
                f"agent.encoder_kind={kind} needs images of at least {SMALLEST} x {SMALLEST}, "
                f"got {shape[0]} x {shape[1]}"
            )
        return True
    if not isinstance(space, spaces.Box) or not image or space.dtype != jnp.uint8:
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
    if (
        isinstance(space, spaces.Box)
        and len(space.shape) == 1
        and jnp.issubdtype(space.dtype, jnp.floating)
    ):
        return "continuous", (int(space.shape[0]),)
    raise InputError(
        f"no policy head for {space}; heads exist for Discrete, MultiDiscrete, MultiBinary, "
        "Box(A,) of floats, and Box of whole numbers between finite bounds with at most "
        f"{MOST_VALUES:,} values an entry"
    )
