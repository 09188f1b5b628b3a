"""S4D (Gu et al. 2206.11893): one small diagonal state space a channel; scans.affine.

h[t] = exp(d A) h[t-1] + (exp(d A) - 1) / A x[t] (ZOH), y[t] = 2 Re(C h[t]) + D x[t], for each
channel alone, with `state_size` / 2 complex states, one of each conjugate pair. B is one, as C
absorbs it. The paper convolves the whole sequence, which cannot stop at a reset; here chunks are
convolved, each step with its own episode, and states cross chunks.
"""

import math
from typing import Annotated, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlseq.cores.diagonal import Diagonal
from rlseq.cores.options import StepSize
from rlseq.cores.recurrence import Recurrence
from rlseq.cores.s5 import discretize, hippo_normal
from rlseq.cores.selective import check_step_range
from rlseq.errors import InputError
from rlseq.fields import OneOf, Range
from rlseq.scans.kernel import kernel_scan
from rlseq.types import Carry

SPECTRA = ("lin", "inv", "legs")
Spectrum = Annotated[str, OneOf(SPECTRA)]
States = Annotated[int, Range(2, 1024)]
METHODS = ("auto", "sequential", "kernel")  # "auto" is the last, which hardly holds any states


def initial_spectrum(rule: str, size: int) -> np.ndarray:
    """Eigenvalues [size / 2], complex: S4D-Lin, S4D-Inv (2206.11893, section 4) or HiPPO-N."""
    n = np.arange(size // 2)
    if rule == "legs":
        return hippo_normal(size)[0]
    if rule == "inv":
        return -0.5 + 1j * size / np.pi * (size / (2 * n + 1) - 1)
    return -0.5 + 1j * np.pi * n


class S4D(Diagonal):
    """One S4D layer; the carry is [B, 2, features * state_size / 2]: real and imaginary parts.

    It has no projections, and so no `matmul_dtype`: B and C act within a channel, inside the scan.
    Raises InputError for an odd state or step sizes out of order.
    """

    methods: ClassVar[tuple[str, ...]] = METHODS

    state_size: States = 64  # real states a channel: the paper's N
    spectrum: Spectrum = "lin"  # the paper's simplest; "inv" and "legs" are its other two
    step_min: StepSize = 0.001  # the paper's; log-uniform between these
    step_max: StepSize = 0.1
    method: Annotated[str, OneOf(METHODS)] = "auto"  # of the scan

    def __post_init__(self) -> None:
        if self.state_size % 2:
            raise InputError(f"s4d: state_size must be even, got {self.state_size}")
        check_step_range("s4d", self.step_min, self.step_max)
        super().__post_init__()

    @property
    def states(self) -> int:
        """The complex states of all channels."""
        return self.features * self.state_size // 2

    @property
    def recurrence(self) -> Recurrence:
        """A unit is a channel, whose states share a step size."""
        axes = {"real": -2, "imag": -2, "log_step": -1}
        return Recurrence(axes, self.features, diagonal=True)

    def setup(self) -> None:
        shape = (self.features, self.state_size // 2)
        dtype = jnp.dtype(self.dtype)
        self.real = self.param("real", self._initial_real, shape)
        self.imag = self.param("imag", self._initial_imag, shape)
        self.log_step = self.param("log_step", self._initial_step, shape[:1])
        self.c = self.param("c", nn.initializers.normal(0.5**0.5), (2, *shape), dtype)
        self.skip = self.param("skip", nn.initializers.normal(1.0), shape[:1], dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, features], reset bool [T, B] -> (carry, y [T, B, features])."""
        if self.method == "sequential":
            return super().__call__(carry, x, reset)
        self._check_width(x)
        step, eigenvalues = self._continuous()
        factor = discretize(eigenvalues, step, "zoh")[1]
        c = jax.lax.complex(self.c[0], self.c[1])
        carry, y = kernel_scan(step * eigenvalues, factor, c, x, carry, reset)
        return carry, y + jnp.broadcast_to(self.skip, x.shape) * x

    def _continuous(self) -> tuple[Array, Array]:
        """Step sizes [features, 1] and eigenvalues A [features, N / 2], both complex."""
        # The logarithm keeps the real part negative: no state ever grows.
        eigenvalues = jax.lax.complex(-jnp.exp(self.real), self.imag)
        return jnp.exp(self.log_step)[:, None].astype(eigenvalues.dtype), eigenvalues

    def _drive(self, x: Array) -> tuple[tuple[Array, Array], Array]:
        step, eigenvalues = self._continuous()
        transition, factor = (leaf.ravel() for leaf in discretize(eigenvalues, step, "zoh"))
        pair = jnp.stack([factor.real, factor.imag]).reshape(2, self.features, -1)
        pair = jnp.expand_dims(pair, tuple(range(x.ndim - 1)))
        pairs = (x[..., None, :, None] * pair).reshape(*x.shape[:-1], 2, self.states)
        return (transition.real, transition.imag), pairs

    def _output(self, states: Array, x: Array) -> Array:
        """2 Re(C h) + D x, each channel from its own states."""
        parts = states.reshape(*x.shape[:-1], 2, self.features, self.state_size // 2)
        c = jnp.stack([2 * self.c[0], -2 * self.c[1]])
        y = jnp.einsum("...kdp,kdp->...d", parts, c)
        return y + jnp.broadcast_to(self.skip, x.shape) * x

    def _initial_real(self, key: Array, shape: tuple[int, int]) -> Array:
        values = np.log(-np.real(initial_spectrum(self.spectrum, self.state_size)))
        return jnp.broadcast_to(jnp.asarray(values, self.dtype), shape)

    def _initial_imag(self, key: Array, shape: tuple[int, int]) -> Array:
        values = np.imag(initial_spectrum(self.spectrum, self.state_size))
        return jnp.broadcast_to(jnp.asarray(values, self.dtype), shape)

    def _initial_step(self, key: Array, shape: tuple[int, ...]) -> Array:
        low, high = math.log(self.step_min), math.log(self.step_max)
        return jax.random.uniform(key, shape, jnp.dtype(self.dtype), low, high)
