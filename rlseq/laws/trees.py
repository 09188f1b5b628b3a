"""Comparisons of states: trees of arrays and typed PRNG keys."""

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.laws import hold
from rlseq.types import PyTree


def arrays(tree: PyTree) -> list[np.ndarray]:
    """The leaves as NumPy arrays, keys as their data."""
    return [np.asarray(_data(leaf)) for leaf in jax.tree.leaves(tree)]


def same(a: PyTree, b: PyTree) -> None:
    """Raise AssertionError unless two trees are equal bit for bit; NaN equals NaN."""
    _check_forms(a, b)
    for x, y in zip(arrays(a), arrays(b), strict=True):
        np.testing.assert_array_equal(x, y, strict=True)


def close(a: PyTree, b: PyTree, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    """Raise AssertionError unless two trees are equal up to rounding."""
    _check_forms(a, b)
    for x, y in zip(arrays(a), arrays(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def differ(a: PyTree, b: PyTree) -> bool:
    """Whether any leaf of two trees differs."""
    return any((x != y).any() for x, y in zip(arrays(a), arrays(b), strict=True))


def _check_forms(a: PyTree, b: PyTree) -> None:
    forms = jax.tree.structure(a), jax.tree.structure(b)
    hold(forms[0] == forms[1], f"the forms differ: {forms[0]} and {forms[1]}")


def _data(leaf: jax.Array) -> jax.Array:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf
