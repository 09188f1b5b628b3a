"""Many devices: seeds and environments split over a mesh, parameters copied to each device."""

import math
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from rlseq.errors import InputError, check_names
from rlseq.rl.devices import AXIS
from rlseq.train import leaves
from rlseq.types import PyTree

AXES = ("seed", AXIS)


def make_mesh(text: str, *, seeds: int, num_envs: int) -> Mesh:
    """The mesh of "env=4" or "seed=2,env=2", over the first devices, as many of each process.

    Environments are the inner axis, so that what is summed over them crosses few processes.

    Raises InputError for an unknown axis, sizes that do not divide `seeds` or `num_envs`, and
    more devices than there are.
    """
    sizes = axis_sizes(text, seeds=seeds, num_envs=num_envs)
    return Mesh(np.array(_devices(text, math.prod(sizes))).reshape(sizes), AXES)


def abstract_mesh(text: str, *, seeds: int, num_envs: int) -> AbstractMesh:
    """The same without devices. Raises InputError as `axis_sizes`."""
    return AbstractMesh(axis_sizes(text, seeds=seeds, num_envs=num_envs), AXES)


def axis_sizes(text: str, *, seeds: int, num_envs: int) -> tuple[int, int]:
    """Devices along each of AXES.

    Raises InputError for an unknown axis and sizes that do not divide `seeds` or `num_envs`.
    """
    sizes = dict.fromkeys(AXES, 1) | _parse(text)
    for axis, total in (("seed", seeds), ("env", num_envs)):
        if total % sizes[axis]:
            raise InputError(f"run.mesh: {axis}={sizes[axis]} does not divide {total}")
    return sizes["seed"], sizes["env"]


def shardings(mesh: Mesh | AbstractMesh, state: PyTree, batched: PyTree) -> PyTree:
    """A NamedSharding for each leaf of a state [S, ...].

    `batched` has the state's structure: True where the axis after the seeds is environments.
    """

    def place(_, by_env: bool) -> NamedSharding:
        return NamedSharding(mesh, PartitionSpec(*(AXES if by_env else AXES[:1])))

    return jax.tree.map(place, state, batched)


def put(tree: PyTree, layout: PyTree) -> PyTree:
    """The arrays on the devices of `layout`. Where these are of several processes, each has the
    same arrays and puts what its own devices hold."""
    return jax.tree.map(_put, tree, layout)


def gathered(tree: PyTree, keep: bool) -> PyTree:
    """The arrays whole, on the host, one after the other; all processes must call it.

    Returns:
        The tree with NumPy arrays and local keys; without `keep` None.
    """
    parts, structure = jax.tree.flatten(tree)
    whole = []
    for leaf in parts:
        local = _gathered(leaf)
        whole += [local] if keep else []
    return jax.tree.unflatten(structure, whole) if keep else None


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    spread = isinstance(leaf, jax.Array) and not leaf.is_fully_addressable
    if spread or sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if leaves.is_key(leaf):
        data = _put(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


def _gathered(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return leaf
    if leaves.is_key(leaf):
        data = _gathered(jax.random.key_data(leaf))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    return multihost_utils.process_allgather(leaf, tiled=True)


def _devices(text: str, wanted: int) -> list[Any]:
    """The first devices, as many of each process."""
    by_process = [jax.local_devices(process_index=i) for i in range(jax.process_count())]
    counts = [len(own) for own in by_process]
    if wanted > sum(counts):
        raise InputError(
            f"run.mesh: {text!r} needs {wanted} devices, there are {sum(counts)}"
            " (`rlseq resume --mesh` gives a run another mesh)"
        )
    share = wanted // len(by_process)
    if len({*counts}) > 1 or wanted % len(by_process):
        raise InputError(
            f"run.mesh: {text!r} takes {wanted} devices, as many of each process, which have "
            f"{', '.join(map(str, counts))}"
        )
    return [device for own in by_process for device in own[:share]]


def _parse(text: str) -> dict[str, int]:
    pairs = [part.partition("=") for part in text.split(",")]
    check_names("axis of run.mesh", [name.strip() for name, _, _ in pairs], AXES)
    for _, _, size in pairs:
        if not size.strip().isdecimal() or not 1 <= int(size) <= 2**20:
            raise InputError(f"run.mesh reads like env=4 or seed=2,env=2, got {text!r}")
    return {name.strip(): int(size) for name, _, size in pairs}
