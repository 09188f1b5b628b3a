"""Fixed and slow points of a core under a constant input (Sussillo and Barak 2013).

With F(h) one step from the state h, points where q(h) = |F(h) - h|^2 / 2 is 0 are fixed, those
where it is small are slow. The eigenvalues of dF/dh there give the time scales of the memory.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from rlseq.analysis.memory.flat import Layout, row
from rlseq.errors import InputError
from rlseq.types import Carry, CoreFns, Params

DAMPING = 1e-3  # of the first step; Levenberg-Marquardt adapts it


class FixedPoints(NamedTuple):
    """One row for each start, converged or not: check `q`."""

    carry: Carry  # leaves [S, ...]
    q: np.ndarray  # [S], half the squared speed
    eigenvalues: np.ndarray  # [S, N] complex, of the step's Jacobian, largest modulus first


def fixed_points(
    fns: CoreFns, params: Params, starts: Carry, x: Array, iterations: int = 100
) -> FixedPoints:
    """Search from every start for a point that a step leaves where it is.

    Args:
        fns: a core, from `rlseq.functional`.
        params: its parameters.
        starts: carry of batch S, states that were seen while the core ran, say.
        x: [D], the constant input.
        iterations: of Levenberg-Marquardt on q.

    Leaves of the carry that are not floats stay as they are. Raises InputError for a core without
    a state.
    """
    count = jax.tree.leaves(starts)[0].shape[0] if jax.tree.leaves(starts) else 0
    if not count:
        raise InputError("the core has no state, so it has no fixed points")
    found, speeds, jacobians = [], [], []
    search = _search(fns, iterations)
    for index in range(count):
        layout = Layout(row(starts, index))
        vector, q, jacobian = search(params, layout.like, x)
        found.append(layout.restore(vector))
        speeds.append(float(q))
        jacobians.append(np.asarray(jacobian))
    carry = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *found)
    return FixedPoints(carry, np.array(speeds), np.stack([_spectrum(j) for j in jacobians]))


def time_scales(eigenvalues: np.ndarray) -> np.ndarray:
    """Steps in which each mode falls by e, -1 / log |lambda|; infinite for |lambda| >= 1."""
    modulus = np.abs(eigenvalues)
    with np.errstate(divide="ignore"):
        return np.where(modulus < 1, -1 / np.log(np.minimum(modulus, 1)), np.inf)


def _search(fns: CoreFns, iterations: int) -> Callable[..., tuple[Array, Array, Array]]:
    """(params, start, x) -> (state [N], q, Jacobian of the step [N, N]), jitted."""

    def run(params: Params, start: Carry, x: Array) -> tuple[Array, Array, Array]:
        layout = Layout(start)
        never = jnp.zeros(1, bool)

        def step(h: Array) -> Array:
            return layout.flatten(fns.step(params, layout.restore(h), x[None], never)[0])

        h = _minimise(lambda h: step(h) - h, layout.flatten(start), iterations)
        return h, jnp.square(step(h) - h).sum() / 2, jax.jacrev(step)(h)

    return jax.jit(run)


def _minimise(residual: Callable[[Array], Array], h: Array, iterations: int) -> Array:
    """Levenberg-Marquardt on |residual|^2 / 2: a step is kept only if it lowers it."""
    jacobian = jax.jacrev(residual)

    def cost(h: Array) -> Array:
        return jnp.square(residual(h)).sum() / 2

    def body(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        h, damping = state
        j = jacobian(h)
        # Scaled with the matrix, so that damping means the same for states of any size.
        normal = j.T @ j
        ridge = damping * (jnp.trace(normal) / h.size + 1e-12) * jnp.eye(h.size, dtype=h.dtype)
        new = h - jnp.linalg.solve(normal + ridge, j.T @ residual(h))
        better = cost(new) < cost(h)  # False for NaN
        damping = jnp.clip(damping * jnp.where(better, 0.2, 5.0).astype(h.dtype), 1e-9, 1e6)
        return (jnp.where(better, new, h), damping), None

    start = (h, jnp.asarray(DAMPING, h.dtype))
    return lax.scan(body, start, length=iterations)[0][0]


def _spectrum(jacobian: np.ndarray) -> np.ndarray:
    values = np.linalg.eigvals(jacobian.astype(np.float64))
    return values[np.argsort(-np.abs(values))]
