"""Batches over the devices of a mesh, so that each computes a share of a gradient."""

from typing import Any

import jax
from jax import Array, lax
from jax.sharding import PartitionSpec

from rlseq.types import PyTree

AXIS = "env"  # of the mesh, over which environments are split


def parts() -> int:
    """Devices over which environments are split; 1 without a mesh (`jax.set_mesh`)."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty else mesh.shape.get(AXIS, 1)


def split_batch(tree: PyTree, axis: int) -> PyTree:
    """Leaves [..., B, ...], B at `axis`, with the entries of B split over the devices.

    What is gathered from environments on many devices would otherwise be on all of them, and each
    would compute the whole gradient. Without a mesh the tree as it is; so are leaves without that
    axis, and where the devices do not divide B.
    """
    count = parts()
    if count == 1:
        return tree

    def place(x: Array) -> Any:
        if x.ndim <= axis or x.shape[axis] % count:
            return x
        whole, split = (
            PartitionSpec(*[PartitionSpec.UNCONSTRAINED] * axis, name) for name in (None, AXIS)
        )
        # First all of it: else the devices would exchange the indices that it is gathered by.
        return lax.with_sharding_constraint(lax.with_sharding_constraint(x, whole), split)

    return jax.tree.map(place, tree)


def whole_batch(tree: PyTree) -> PyTree:
    """The leaves with all of them on every device, exchanged once: what is then chosen from them
    again and again needs no exchange. Without a mesh the tree as it is."""
    if parts() == 1:
        return tree
    return jax.tree.map(lambda x: lax.with_sharding_constraint(x, PartitionSpec()), tree)


def split_sequences(batch: Any) -> Any:
    """The same for a NamedTuple with a `carry` of leaves [B, ...]; all others are [T, B, ...]."""
    rest = split_batch(batch._replace(carry=()), 1)
    return rest._replace(carry=split_batch(batch.carry, 0))
