"""What the cores with a constant diagonal complex transition share: carry, scan and step."""

import math
from typing import Annotated, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.cores.options import Dtype, Features
from rlseq.errors import InputError
from rlseq.fields import OneOf, Range, Share
from rlseq.nn.projection import project
from rlseq.scans.affine import METHODS
from rlseq.scans.rotation import rotate, rotation_scan
from rlseq.types import Carry

Phase = Annotated[float, Range(0, 2 * math.pi, above=True)]


class Diagonal(nn.Module):
    """h[t] = a h[t-1] + drive(x[t]), y[t] = output(h[t], x[t]) with P complex states; scans.affine.

    A core gives `states` (P), `_drive(x) -> ((real [P], imag [P]), drive [..., 2, P])` and
    `_output(states [..., 2, P], x) -> y`. The carry is [B, 2, P]: real and imaginary parts.

    Raises ValueError for an input of another width.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = METHODS
    block: ClassVar[dict] = {"layers": 2, "mixer": "full_glu", "residual": True}

    features: Features
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan
    dtype: Dtype = "float32"

    @property
    def states(self) -> int:
        """P, the number of complex states of a row."""
        raise NotImplementedError

    def init_carry(self, batch: int) -> Carry:
        """Zeros [batch, 2, P]: real and imaginary parts."""
        return jnp.zeros((batch, 2, self.states), self.dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, features], reset bool [T, B] -> (carry, y [T, B, features])."""
        self._check_width(x)
        transition, drive = self._drive(x)
        carry, states = rotation_scan(*transition, drive, carry, reset, method=self.method)
        return carry, self._output(states, x)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, features], reset bool [B] -> (carry, y [B, features])."""
        self._check_width(x)
        transition, drive = self._drive(x)
        state = rotate(*transition, jnp.where(reset[:, None, None], 0, carry)) + drive
        return state, self._output(state, x)

    def _drive(self, x: Array) -> tuple[tuple[Array, Array], Array]:
        raise NotImplementedError

    def _output(self, states: Array, x: Array) -> Array:
        raise NotImplementedError

    def _check_width(self, x: Array) -> None:
        if x.shape[-1] != self.features:
            name = type(self).__name__.lower()
            raise ValueError(
                f"{name} needs an input of {self.features} features, got {x.shape[-1]}"
            )


class Ring(Diagonal):
    """A diagonal core whose eigenvalues exp(-exp(nu) + i exp(theta)) start in a ring (2303.06349).

    Raises InputError for radii that are not 0 <= radius_min < radius_max < 1.
    """

    radius_min: Share = 0.9  # the paper's ring for long memories: |L| starts between these
    radius_max: Share = 0.999
    phase_max: Phase = math.pi / 10  # the paper's for its longest task; slow rotations at first

    def __post_init__(self) -> None:
        if not 0 <= self.radius_min < self.radius_max < 1:
            raise InputError(
                f"{type(self).__name__.lower()}: 0 <= radius_min < radius_max < 1, got "
                f"{self.radius_min} and {self.radius_max}"
            )
        super().__post_init__()

    def _initial_radius(self, key: Array, shape: tuple[int, ...]) -> Array:
        """nu for eigenvalues uniform in the ring's area (lemma 3.2 of the paper)."""
        low, high = self.radius_min**2, self.radius_max**2
        # Never exactly 0: nu would be infinite.
        square = jax.random.uniform(key, shape, jnp.dtype(self.dtype), max(low, 1e-6), high)
        return jnp.log(-0.5 * jnp.log(square))

    def _initial_phase(self, key: Array, shape: tuple[int, ...]) -> Array:
        dtype = jnp.dtype(self.dtype)
        return jnp.log(jax.random.uniform(key, shape, dtype, 1e-6, 1.0) * self.phase_max)


def project_pairs(states: Array, c: Array, matmul_dtype: str) -> Array:
    """Re(C h) as one real matmul: states [..., 2, P], c [2, features, P] -> [..., features].

    Factors are in `matmul_dtype`, the states too: what is rounded here is read, and not carried on.
    """
    parts = states.reshape(*states.shape[:-2], 2 * states.shape[-1])
    return project(parts, jnp.concatenate([c[0], -c[1]], axis=1).T, matmul_dtype)
