"""S4D (Gu et al. 2206.11893): one small diagonal state space a channel; engine E1.

h[t] = exp(d A) h[t-1] + (exp(d A) - 1) / A x[t] (ZOH), y[t] = 2 Re(C h[t]) + D x[t], for each
channel alone, with `state_size` / 2 complex states, one of each conjugate pair. B is one, as C
absorbs it. The fixed kernel of the paper's convolution cannot stop at a reset, so this is its
recurrent form.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlseq.cores.diagonal import Diagonal
from rlseq.cores.s5 import discretize, hippo_normal
from rlseq.errors import InputError, unknown_name
from rlseq.scans.rotation import rotation_scan
from rlseq.types import Carry

SPECTRA = ("lin", "inv", "legs")
CHUNK = 32  # steps whose states exist at once: they are `state_size` times wider than the inputs


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

    Raises InputError for an odd or absent state, bad step sizes or an unknown spectrum.
    """

    state_size: int = 64  # real states a channel: the paper's N
    spectrum: str = "lin"  # the paper's simplest; "inv" and "legs" are its other two
    step_min: float = 0.001  # the paper's; log-uniform between these
    step_max: float = 0.1

    def __post_init__(self) -> None:
        if self.state_size < 2 or self.state_size % 2:
            raise InputError(f"s4d: state_size must be even and positive, got {self.state_size}")
        if not 0 < self.step_min <= self.step_max:
            raise InputError(f"s4d: 0 < step_min <= step_max, got {self.step_min}, {self.step_max}")
        if self.spectrum not in SPECTRA:
            raise unknown_name("spectrum", self.spectrum, SPECTRA)
        super().__post_init__()

    @property
    def states(self) -> int:
        """The complex states of all channels."""
        return self.features * self.state_size // 2

    def setup(self) -> None:
        shape = (self.features, self.state_size // 2)
        dtype = jnp.dtype(self.dtype)
        self.real = self.param("real", self._initial_real, shape)
        self.imag = self.param("imag", self._initial_imag, shape)
        self.log_step = self.param("log_step", self._initial_step, shape[:1])
        self.c = self.param("c", nn.initializers.normal(0.5**0.5), (2, *shape), dtype)
        self.skip = self.param("skip", nn.initializers.normal(1.0), shape[:1], dtype)

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, features], reset bool [T, B] -> (carry, y [T, B, features]).

        Some steps at a time, and the backward pass makes their states anew.
        """
        self._check_width(x)
        rates = self._rates()
        whole = x.shape[0] // CHUNK * CHUNK
        split = (whole // CHUNK, CHUNK)
        run = jax.checkpoint(lambda carry, inputs: self._chunk(rates, carry, *inputs))
        chunks = (leaf[:whole].reshape(*split, *leaf.shape[1:]) for leaf in (x, reset))
        carry, y = jax.lax.scan(run, carry, tuple(chunks))
        y = y.reshape(whole, *x.shape[1:])
        if whole == x.shape[0]:
            return carry, y
        carry, rest = run(carry, (x[whole:], reset[whole:]))
        return carry, jnp.concatenate([y, rest])

    def _chunk(
        self, rates: tuple[Array, Array], carry: Carry, x: Array, reset: Array
    ) -> tuple[Carry, Array]:
        transition, drive = self._drive(x, rates)
        carry, states = rotation_scan(*transition, drive, carry, reset, method=self.method)
        return carry, self._output(states, x)

    def _rates(self) -> tuple[Array, Array]:
        """The complex transition and factor on x, [P] each."""
        # The logarithm keeps the real part negative: no state ever grows.
        eigenvalues = jax.lax.complex(-jnp.exp(self.real), self.imag)
        step = jnp.exp(self.log_step)[:, None].astype(eigenvalues.dtype)
        step = jnp.broadcast_to(step, eigenvalues.shape).ravel()
        return discretize(eigenvalues.ravel(), step, "zoh")

    def _drive(
        self, x: Array, rates: tuple[Array, Array] | None = None
    ) -> tuple[tuple[Array, Array], Array]:
        transition, factor = self._rates() if rates is None else rates
        pair = jnp.stack([factor.real, factor.imag]).reshape(2, self.features, -1)
        pair = jnp.expand_dims(pair, tuple(range(x.ndim - 1)))
        drive = x[..., None, :, None] * pair
        pairs = drive.reshape(*x.shape[:-1], 2, self.states)
        return (transition.real, transition.imag), pairs

    def _output(self, states: Array, x: Array) -> Array:
        """2 Re(C h) + D x, each channel from its own states."""
        parts = states.reshape(*x.shape[:-1], 2, self.features, -1)
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
