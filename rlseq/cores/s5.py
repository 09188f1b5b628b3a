"""S5 with resets (Smith et al. 2208.04933; Lu et al. 2303.03982): a diagonal complex state space.

h[t] = L h[t-1] + B x[t], y[t] = 2 Re(C h[t]) + D x[t], where L and B come from continuous
parameters by ZOH or the bilinear rule. One of each conjugate pair of states is kept. scans.affine.
"""

import math
from functools import lru_cache
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlseq.cores.diagonal import Diagonal, project_pairs
from rlseq.cores.options import Blocks, MatmulDtype, Size, StepSize
from rlseq.cores.recurrence import Recurrence
from rlseq.cores.selective import check_step_range
from rlseq.errors import InputError
from rlseq.fields import OneOf
from rlseq.nn.projection import project

DISCRETIZATIONS = ("zoh", "bilinear")
Discretization = Annotated[str, OneOf(DISCRETIZATIONS)]
LARGEST_BLOCK = 1024  # its spectrum takes ten seconds, and eight times that for twice as many
MAX_REAL = -1e-4  # clipped eigenvalues stay left of this, so that no state grows without bound


@lru_cache
def hippo_normal(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Half of the spectrum of HiPPO-N (2208.04933, appendix B.1.1): eigenvalues [size / 2] and
    eigenvectors [size, size / 2], complex128. NumPy, so that no trace ever folds it."""
    root = np.sqrt(1 + 2 * np.arange(size))
    legs = -np.tril(root[:, None] * root[None, :]) + np.diag(np.arange(size))
    low_rank = np.sqrt(np.arange(size) + 0.5)
    normal = legs + low_rank[:, None] * low_rank[None, :]
    real = np.mean(np.diag(normal))
    imaginary, vectors = np.linalg.eigh(-1j * (normal - np.diag(np.diag(normal))))
    keep = imaginary > 0  # one of each conjugate pair
    return real + 1j * imaginary[keep], vectors[:, keep]


def discretize(eigenvalues: Array, step: Array, rule: str) -> tuple[Array, Array]:
    """The transition [P] and the factor [P] on B for step sizes [P], by the named rule."""
    z = eigenvalues * step
    if rule == "zoh":
        return jnp.exp(z), (jnp.exp(z) - 1) / eigenvalues
    shrink = 1 / (1 - z / 2)
    return shrink * (1 + z / 2), shrink * step


class S5(Diagonal):
    """One S5 layer; the carry is the state, [B, 2, state_size / 2]: real and imaginary parts.

    Raises InputError for a state that does not divide into blocks of an even size, or into large
    ones.
    """

    state_size: Size = 0  # real size of the state; 0 means `features` (S5-RL: 256 for 256)
    blocks: Blocks = 1  # HiPPO blocks along the diagonal (S5-RL: 1; S5: 8)
    discretization: Discretization = "zoh"  # S5 and S5-RL
    clip_eigenvalues: bool = True  # S5 leaves it off; its authors advise it for unbounded lengths
    step_min: StepSize = 0.001  # S5, table 11; log-uniform between these
    step_max: StepSize = 0.1
    matmul_dtype: MatmulDtype = ""  # of the products with B and C; "" is `dtype`

    def __post_init__(self) -> None:
        size = self.state_size or self.features
        if size % (2 * self.blocks):
            raise InputError(
                f"s5: state_size {size} does not divide into {self.blocks} blocks of an even size"
            )
        if size // self.blocks > LARGEST_BLOCK:
            raise InputError(
                f"s5: blocks have at most {LARGEST_BLOCK} states, got state_size {size} in "
                f"{self.blocks} blocks: blocks={-(-size // LARGEST_BLOCK)}"
            )
        check_step_range("s5", self.step_min, self.step_max)
        super().__post_init__()

    def setup(self) -> None:
        size = self.state_size or self.features
        spectrum, _ = block_spectrum(size, self.blocks)
        self.real = self.param("real", _constant(np.real(spectrum), self.dtype))
        self.imag = self.param("imag", _constant(np.imag(spectrum), self.dtype))
        self.log_step = self.param("log_step", self._initial_step, (size // 2,))
        self.b = _InputMatrix(size, self.blocks, self.dtype)
        self.c = self.param("c", self._initial_output, (self.features, size))
        normal = nn.initializers.normal(1.0)
        self.skip = self.param("skip", normal, (self.features,), jnp.dtype(self.dtype))

    @property
    def states(self) -> int:
        """Half of the state: one of each conjugate pair."""
        return (self.state_size or self.features) // 2

    @property
    def recurrence(self) -> Recurrence:
        """A unit is a complex state."""
        axes = {"real": -1, "imag": -1, "log_step": -1, "b/b": -2}
        return Recurrence(axes, self.states, diagonal=True)

    def _drive(self, x: Array) -> tuple[tuple[Array, Array], Array]:
        """The transition ([P], [P]) and B x [..., 2, P]; the complex product is one real matmul.

        Its factors are in `matmul_dtype`; the transition, which acts at every step, is not.
        """
        real = jnp.minimum(self.real, MAX_REAL) if self.clip_eigenvalues else self.real
        step = jnp.exp(self.log_step)
        eigenvalues = jax.lax.complex(real, self.imag)
        transition, factor = discretize(
            eigenvalues, step.astype(eigenvalues.dtype), self.discretization
        )
        b = self.b(x.shape[-1]) * factor[:, None]
        drive = project(x, jnp.concatenate([b.real, b.imag]).T, self.matmul_dtype)
        pairs = drive.reshape(*x.shape[:-1], 2, transition.shape[0])
        return (transition.real, transition.imag), pairs

    def _output(self, states: Array, x: Array) -> Array:
        """2 Re(C h) + D x as one real matmul; states [..., 2, P]."""
        skip = jnp.broadcast_to(self.skip, x.shape)
        return project_pairs(states, 2 * self.c, self.matmul_dtype) + skip * x

    def _initial_step(self, key: Array, shape: tuple[int, ...]) -> Array:
        low, high = math.log(self.step_min), math.log(self.step_max)
        return jax.random.uniform(key, shape, jnp.dtype(self.dtype), low, high)

    def _initial_output(self, key: Array, shape: tuple[int, int]) -> Array:
        """C V as (real, imaginary) [2, features, P], C complex with variance 1 / state_size."""
        features, size = shape
        _, vectors = block_spectrum(size, self.blocks)
        re, im = jax.random.normal(key, (2, features, size), jnp.dtype(self.dtype)) / math.sqrt(
            size
        )
        v_re, v_im = _pair(vectors, self.dtype)
        return jnp.stack([re @ v_re - im @ v_im, re @ v_im + im @ v_re])


class _InputMatrix(nn.Module):
    """B in the basis of the eigenvectors, complex [P, D]; a real B has variance 1 / D."""

    size: int
    blocks: int
    dtype: str

    @nn.compact
    def __call__(self, width: int) -> Array:
        b = self.param("b", self._initial, (self.size, width))
        return jax.lax.complex(b[0], b[1])

    def _initial(self, key: Array, shape: tuple[int, int]) -> Array:
        _, vectors = block_spectrum(self.size, self.blocks)
        b = jax.random.normal(key, shape, jnp.dtype(self.dtype)) / math.sqrt(shape[1])
        v_re, v_im = _pair(vectors, self.dtype)
        return jnp.stack([v_re.T @ b, -v_im.T @ b])


def block_spectrum(size: int, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [size / 2] and eigenvectors [size, size / 2] of equal HiPPO-N blocks."""
    spectrum, vectors = hippo_normal(size // blocks)
    return np.tile(spectrum, blocks), np.kron(np.eye(blocks), vectors)


def _pair(values: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    return np.real(values).astype(dtype), np.imag(values).astype(dtype)


def _constant(values: np.ndarray, dtype: str):
    return lambda key: jnp.asarray(values, dtype)
