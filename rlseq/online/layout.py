"""Which parameters of a core reach its state, and by which of its units."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import traverse_util
from jax import Array

from rlseq.cores.recurrence import Recurrence
from rlseq.types import Carry, Params

Flat = dict[str, Array]  # path, joined by slashes -> parameter


class Parts(NamedTuple):
    """Parameters by their way into the state."""

    own: Flat  # each number feeds one unit
    before: Flat  # feed any: of what the layer's inputs pass first
    after: Flat  # feed none, or count as if


class Layout:
    """A core of one layer, or an `Encoded` one: its parameters in parts, its state as units.

    The state of a row is [K, U]: K numbers in each of U units. A parameter of its own is [R, U]:
    R numbers feed each unit.
    """

    def __init__(self, module: Any, recurrence: Recurrence):
        encoded = not hasattr(module, "layers")
        stack, inside = (module.core, "params/core/") if encoded else (module, "params/")
        self.axes = {f"{inside}layers_0/{path}": a for path, a in recurrence.axes.items()}
        self.units = recurrence.units
        leaves = jax.tree.leaves(jax.eval_shape(lambda: stack.init_carry(1)))
        self.numbers = sum(leaf.size for leaf in leaves) // self.units  # K
        self._traced = encoded and module.traced
        first = ("project/", *(("norms_0/",) if stack.norm in ("pre", "pre_rms") else ()))
        self._first = tuple(inside + name for name in first)
        self._inside = inside

    def split(self, params: Params) -> Parts:
        """Parameters in parts."""
        parts = Parts({}, {}, {})
        flat: Any = traverse_util.flatten_dict(params, sep="/")
        for path, leaf in flat.items():
            encoder = self._traced and not path.startswith(self._inside)
            if path in self.axes:
                parts.own[path] = leaf
            elif encoder or path.startswith(self._first):
                parts.before[path] = leaf
            else:
                parts.after[path] = leaf
        return parts

    def join(self, parts: Iterable[Flat]) -> Params:
        """The parameters of all parts."""
        flat = {path: leaf for part in parts for path, leaf in part.items()}
        return traverse_util.unflatten_dict(flat, sep="/")

    def state(self, carry: Carry) -> Array:
        """The carry of a row, without its batch axis, as [K, U]."""
        leaves = []
        for leaf in jax.tree.leaves(carry):
            split = leaf.reshape(-1, self.units, leaf.shape[-1] // self.units)
            leaves.append(jnp.moveaxis(split, 2, 1).reshape(-1, self.units))
        return jnp.concatenate(leaves)

    def by_unit(self, path: str, leaf: Array) -> Array:
        """A parameter of its own as [R, U]; several in an axis, as gates, lie one after another."""
        return jnp.moveaxis(leaf, self.axes[path], -1).reshape(-1, self.units)

    def from_unit(self, path: str, value: Array, like: Array) -> Array:
        """The other way round: [R, U] in the shape of the parameter."""
        axis = self.axes[path]
        moved = jnp.moveaxis(like, axis, -1).shape
        return jnp.moveaxis(value.reshape(moved), -1, axis)
