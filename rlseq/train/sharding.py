"""Many devices: seeds and environments split over a mesh, parameters copied to each device."""

import math

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rlseq.errors import InputError, check_names
from rlseq.types import PyTree

AXES = ("seed", "env")


def make_mesh(text: str, *, seeds: int, num_envs: int) -> Mesh:
    """The mesh of "env=4" or "seed=2,env=2", over the first devices.

    Raises InputError for an unknown axis, sizes that do not divide `seeds` or `num_envs`, and
    more devices than there are.
    """
    sizes = dict.fromkeys(AXES, 1) | _parse(text)
    for axis, total in (("seed", seeds), ("env", num_envs)):
        if total % sizes[axis]:
            raise InputError(f"run.mesh: {axis}={sizes[axis]} does not divide {total}")
    wanted, devices = math.prod(sizes.values()), jax.devices()
    if wanted > len(devices):
        raise InputError(f"run.mesh: {text!r} needs {wanted} devices, there are {len(devices)}")
    grid = np.array(devices[:wanted]).reshape([sizes[axis] for axis in AXES])
    return Mesh(grid, AXES)


def shardings(mesh: Mesh, state: PyTree, batched: PyTree) -> PyTree:
    """A NamedSharding for each leaf of a state [S, ...].

    `batched` has the state's structure: True where the axis after the seeds is environments.
    """

    def place(_, by_env: bool) -> NamedSharding:
        return NamedSharding(mesh, PartitionSpec(*(AXES if by_env else AXES[:1])))

    return jax.tree.map(place, state, batched)


def _parse(text: str) -> dict[str, int]:
    pairs = [part.partition("=") for part in text.split(",")]
    check_names("axis of run.mesh", [name.strip() for name, _, _ in pairs], AXES)
    for _, _, size in pairs:
        if not size.strip().isdecimal() or not 1 <= int(size) <= 2**20:
            raise InputError(f"run.mesh reads like env=4 or seed=2,env=2, got {text!r}")
    return {name.strip(): int(size) for name, _, size in pairs}
