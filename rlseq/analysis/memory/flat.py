"""Carries as vectors: the part of a carry that is real numbers, raveled."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.types import Carry

EMPTY = 1e20  # larger entries mark an empty state (a maximum of no scores, say), not a value


class Layout(NamedTuple):
    """The layout of a carry in a vector; `flatten` and `restore` convert."""

    like: Carry  # a carry of batch 1; leaves that are no floats keep its values

    def flatten(self, carry: Carry) -> Array:
        """A carry of batch 1 -> [N]: real leaves, complex ones as real and imaginary parts."""
        parts = [_as_real(leaf) for leaf in jax.tree.leaves(carry) if _counts(leaf)]
        if not parts:
            return jnp.zeros(0)
        widest = jnp.result_type(*parts)
        return jnp.concatenate([part.astype(widest) for part in parts])

    def restore(self, vector: Array) -> Carry:
        """The inverse of `flatten`."""
        leaves, tree = jax.tree.flatten(self.like)
        at, restored = 0, []
        for leaf in leaves:
            if not _counts(leaf):
                restored.append(leaf)
                continue
            size = leaf.size * (2 if jnp.iscomplexobj(leaf) else 1)
            restored.append(_shaped(vector[at : at + size], leaf))
            at += size
        return jax.tree.unflatten(tree, restored)


def row(carry: Carry, index: int) -> Carry:
    """One environment of a carry, with batch 1."""
    return jax.tree.map(lambda leaf: leaf[index : index + 1], carry)


def _counts(leaf: Array) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def _as_real(leaf: Array) -> Array:
    flat = leaf.ravel()
    return jnp.concatenate([flat.real, flat.imag]) if jnp.iscomplexobj(leaf) else flat


def _shaped(values: Array, leaf: Array) -> Array:
    if jnp.iscomplexobj(leaf):
        real, imag = jnp.split(values, 2)
        return jax.lax.complex(real, imag).astype(leaf.dtype).reshape(leaf.shape)
    return values.astype(leaf.dtype).reshape(leaf.shape)
