"""Batches over the devices of a mesh, so that each computes a share of a gradient."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jax.sharding import PartitionSpec

from rlseq.types import Params, PyTree

# (params, batch) -> (loss, metrics), means over the places where batch.mask, if any, is True
BatchLoss = Callable[[Params, Any], tuple[Array, dict[str, Array]]]

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


def split_sequences(batch: Any) -> Any:
    """`split_batch` of a NamedTuple with a `carry` of leaves [B, ...]; others are [T, B, ...]."""
    rest = split_batch(batch._replace(carry=()), 1)
    return rest._replace(carry=split_batch(batch.carry, 0))


def whole_batch(tree: PyTree) -> PyTree:
    """The leaves with all of them on every device, exchanged once: what is then chosen from them
    again and again needs no exchange. Without a mesh the tree as it is."""
    if parts() == 1:
        return tree
    return jax.tree.map(lambda x: lax.with_sharding_constraint(x, PartitionSpec()), tree)


def places(batch: Any) -> Array:
    """float32 []: how many places of batch.reset [T, B] its losses are means over."""
    if batch.mask is None:
        return jnp.float32(batch.reset.size)
    return batch.mask.sum(dtype=jnp.float32)


def shared_loss(loss: BatchLoss) -> BatchLoss:
    """The loss of sequences as the mean of what each device makes of its share of them.

    Gradients are exchanged as one array, where the compiler would exchange those of each parameter.
    The batch is one of `split_sequences`; without a mesh, or where its devices do not divide the
    sequences, the loss as it is.
    """

    def shared(params: Params, batch: Any) -> tuple[Array, dict[str, Array]]:
        if parts() == 1 or batch.reset.shape[1] % parts():
            return loss(params, batch)
        return _shared(loss, params, batch)

    return shared


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _shared(loss: BatchLoss, params: Params, batch: Any) -> tuple[Array, dict[str, Array]]:
    return _forward(loss, params, batch)[0]


def _forward(
    loss: BatchLoss, params: Params, batch: Any
) -> tuple[tuple[Array, dict[str, Array]], Params]:
    """((loss, metrics), gradients) by one exchange."""

    def share(params: Params, batch: Any) -> Any:
        own = jax.value_and_grad(loss, has_aux=True)(params, batch)
        flat, unravel = ravel_pytree(own)
        weight = places(batch)
        total = lax.psum(jnp.append(weight * flat, weight), AXIS)
        return unravel(total[:-1] / jnp.maximum(total[-1], 1))

    rows = jax.tree.map(lambda _: PartitionSpec(None, AXIS), batch._replace(carry=()))
    split = rows._replace(carry=jax.tree.map(lambda _: PartitionSpec(AXIS), batch.carry))
    everywhere = PartitionSpec()
    on_each = jax.shard_map(
        share, in_specs=(everywhere, split), out_specs=everywhere, axis_names={AXIS},
        check_vma=False,  # the cores' own scans begin with constants, which it takes for shared
    )  # fmt: skip
    return on_each(params, batch)


def _backward(loss: BatchLoss, gradients: Params, cotangent: tuple) -> tuple[Params, None]:
    del loss
    return jax.tree.map(lambda g: cotangent[0] * g, gradients), None


_shared.defvjp(_forward, _backward)
