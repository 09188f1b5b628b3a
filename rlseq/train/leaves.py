"""Leaves of a state as named NumPy arrays, and back; typed keys are stored as their data."""

import zlib
from typing import Any

import jax
import numpy as np

from rlseq.train.checkpoint_index import Leaf
from rlseq.types import PyTree


def to_host(state: PyTree) -> tuple[dict[str, np.ndarray], dict[str, Leaf]]:
    """(arrays as they are stored, their entries in the index), both by name."""
    flat = flatten(state)
    data = {k: jax.random.key_data(x) if is_key(x) else x for k, x in flat.items()}
    arrays = {k: np.asarray(x) for k, x in jax.device_get(data).items()}
    leaves = {k: _describe(x, arrays[k]) for k, x in flat.items()}
    return arrays, leaves


def flatten(tree: PyTree) -> dict[str, Any]:
    """Name, as "params/core/kernel" -> leaf."""
    pairs = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in pairs}


def _describe(leaf: Any, array: np.ndarray) -> Leaf:
    impl = str(jax.random.key_impl(leaf)) if is_key(leaf) else None
    return Leaf(list(leaf.shape), str(leaf.dtype), checksum(array), impl)


def checksum(array: np.ndarray) -> int:
    """CRC-32 of the bytes."""
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def storage(leaf: Any) -> jax.ShapeDtypeStruct:
    """Shape and dtype of what is stored for a leaf."""
    bare = jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    return jax.eval_shape(jax.random.key_data, bare) if is_key(leaf) else bare


def typed(array: np.ndarray, impl: str | None) -> jax.Array:
    """A stored array on the device; with the name of a generator a typed key."""
    data = jax.numpy.asarray(array)
    return jax.random.wrap_key_data(data, impl=impl) if impl else data


def is_key(leaf: Any) -> bool:
    """Whether it holds typed PRNG keys."""
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
