"""What makes a class a core: the check of what a registered name stands for."""

import dataclasses
from typing import Any, Protocol

import flax.linen as nn
import jax

from rlseq import plugins, registry
from rlseq.errors import InputError
from rlseq.types import Carry


class CoreClass(Protocol):
    """What the registry holds of a core: a flax.linen module, one layer of a stack.

    Its fields are its options, each with a default and a declared range (`rlseq.fields`), but for
    `features` and `dtype`, which the stack around it sets. It has what `rlseq.types.Core` has.
    """

    features: int  # the width of y
    dtype: str  # of x, y and the carry
    hidden: tuple[str, ...]  # fields that are no options
    methods: tuple[str, ...]  # what its option `method` may be; () without one
    block: dict[str, Any]  # defaults of the stack around it: `layers`, `norm`, `residual`, ...

    def init_carry(self, batch: int) -> Carry:
        """As in `rlseq.types.Core`."""
        ...

    def step(self, carry: Carry, x: jax.Array, reset: jax.Array) -> tuple[Carry, jax.Array]:
        """As in `rlseq.types.Core`, which has `__call__` beside it."""
        ...


def layer_class(name: str) -> Any:
    """The flax module of a registered core. Raises InputError where that is none of a core."""
    layer = registry.load("core", name)
    if lacks := core_faults(layer):
        raise InputError(f"core {name!r} lacks {', '.join(lacks)}: see rlseq.cores.layer.CoreClass")
    return layer


def core_faults(layer: Any) -> list[str]:
    """What a class lacks to be a core; nothing for one that is."""
    if not isinstance(layer, type) or not issubclass(layer, nn.Module):
        return ["the class flax.linen.Module among its bases"]
    declared = {field.name: field for field in dataclasses.fields(layer)}
    asked = {*plugins.lacking(layer, CoreClass)}
    if "__call__" not in dir(layer):
        asked.add("__call__")
    lacks = sorted(name for name in asked if name not in declared)
    given = ("features", "dtype", "parent", "name")
    required = [name for name, field in declared.items() if name not in given and _required(field)]
    return lacks + [f"a default of {name}" for name in required]


def _required(field: dataclasses.Field) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING
