"""UORO (Tallec and Ollivier 1702.05043): an unbiased estimate of rank one, for any core.

The influence dh/dp is carried as an outer product of a state and of a gradient, s and g:

s' = rho_0 dF/dh s + rho_1 nu,  g' = g / rho_0 + nu dF/dp / rho_1

with random signs nu, whose mixed terms vanish in the mean; the factors rho keep both sides of each
sum equally large (their equations 11 and 12).
"""

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.online.types import Estimator, Trace
from rlseq.types import Carry, Params, PyTree

EPSILON = 1e-7  # the paper's, beside norms


class UORO(Estimator):
    """The influence of a row is (s, g): as large as the carry, and as the parameters."""

    name = "uoro"

    def nothing(self, params: Params) -> PyTree:
        """Zeros: an exact influence of a fresh episode."""
        carry = jax.tree.map(lambda leaf: leaf[0], self.module.init_carry(1))
        return carry, jax.tree.map(jnp.zeros_like, params)

    def advance(
        self, params: Params, row: Trace, x: Array, reset: Array, key: Array | None
    ) -> PyTree:
        if key is None:
            raise ValueError("uoro draws signs: its step needs a key")
        s, g = row.influence

        def following(params: Params, carry: Carry) -> Carry:
            return self.row(params, carry, x, reset)[0]

        _, back = jax.vjp(following, params, row.carry)
        signs = _signs(key, row.carry)
        direct = back(signs)[0]
        # The transpose of the transpose: also of steps whose own gradients have no forward mode.
        _, forth = jax.vjp(lambda cotangent: back(cotangent)[1], signs)
        (moved,) = forth(s)
        first = jnp.sqrt((_norm(g) + EPSILON) / (_norm(moved) + EPSILON))
        second = jnp.sqrt((_norm(direct) + EPSILON) / (_norm(signs) + EPSILON))
        s = jax.tree.map(lambda a, b: first * a + second * b, moved, signs)
        return s, jax.tree.map(lambda a, b: a / first + b / second, g, direct)

    def through(self, gradient: Params, influence: PyTree, d_carry: Carry) -> Params:
        s, g = influence
        products = jax.tree.map(lambda a, b: (a * b).sum(), s, d_carry)
        weight = sum(jax.tree.leaves(products))
        return jax.tree.map(lambda a, b: a + weight * b, gradient, g)


def _signs(key: Array, like: PyTree) -> PyTree:
    """+1 or -1 in the form of `like`."""
    leaves, form = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.rademacher(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(form, drawn)


def _norm(tree: PyTree) -> Array:
    return jnp.sqrt(sum(jnp.square(leaf).sum() for leaf in jax.tree.leaves(tree)))
