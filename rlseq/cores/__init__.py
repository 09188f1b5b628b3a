"""Sequence cores by name: `make_core` for flax users, `functional` for everybody else."""

import typing
from typing import Any

from rlseq import fields, registry
from rlseq.errors import InputError, check_names, unknown_name
from rlseq.types import CoreFns

if typing.TYPE_CHECKING:
    from rlseq.cores.stack import Stack

STACK = "stack"  # beside the registered cores: layers of several of them in a row
MIXED_BLOCK = {"layers": ["s5", "gru"], "norm": "pre", "residual": True}  # around mixed layers

__all__ = ["core_fields", "core_names", "core_options", "functional", "make_core"]


def core_names() -> list[str]:
    """Every registered core, sorted."""
    return registry.names("core")


def make_core(name: str, features: int = 128, **options: Any) -> "Stack":
    """A core: `layers` layers of the named core in one flax.linen module.

    Args:
        name: one of `core_names()`, or "stack" for different layers: their names are then
            the option `layers`, ["mamba2", "aaren", "mamba2"], each with its own defaults.
        features: the width of the output.
        **options: of the layer and of the stack around it; `core_options(name)` lists them.

    Raises:
        InputError: an unknown name or option, or a value out of its range.
    """
    from rlseq.cores.dtypes import check_dtype, of_layer
    from rlseq.cores.layer import layer_class
    from rlseq.cores.stack import Stack

    known = core_fields(name)
    check_names(f"option of core {name!r}:", options, known)
    values = {key: default for key, (_, default) in known.items()} | options
    values["features"] = features
    try:
        values = fields.check_all({key: declared for key, (declared, _) in known.items()}, values)
    except InputError as error:
        raise InputError(f"core {name!r}: {error}") from None
    check_dtype(name, values["dtype"])
    stack = {key: values.pop(key) for key in Stack.option_names()}
    count, dtype = stack.pop("layers"), values["dtype"]
    if name == STACK:
        layers = tuple(_default_layer(layer, values) for layer in count)
    else:
        layer = layer_class(name)
        layers = tuple(layer(**of_layer(dtype, values)) for _ in range(count))
    return Stack(features=features, layers=layers, dtype=dtype, **stack)


def functional(name: str, in_features: int, features: int = 128, **options: Any) -> CoreFns:
    """The named core as plain functions (init, init_carry, scan, step), without flax in sight.

    Called outside jit, each compiles once for each shape. `init(key) -> params`;
    `scan(params, carry, x [T, B, in_features], reset bool [T, B])` and
    `step(params, carry, x [B, in_features], reset bool [B])` return (carry, y).
    x is float32 or of the core's `dtype`, which y has.
    """
    import jax
    import jax.numpy as jnp

    from rlseq.programs import compiled

    core = make_core(name, features, **options)
    x = jnp.zeros((1, 1, in_features), core.dtype)
    reset = jnp.zeros((1, 1), bool)

    @jax.jit  # one program takes half the time of compiling its operations one by one
    def init(key):
        return core.init(key, core.init_carry(1), x, reset)

    @compiled
    def scan(params, carry, x, reset) -> Any:
        return core.apply(params, carry, x, reset)

    @compiled
    def step(params, carry, x, reset) -> Any:
        return core.apply(params, carry, x, reset, method="step")

    return CoreFns(init, core.init_carry, scan, step)


def core_options(name: str) -> dict[str, tuple[Any, Any]]:
    """Option -> (type, default) of a core, the stack's options included; `features` is 128."""
    return {
        key: (
            typing.get_args(declared)[0] if hasattr(declared, "__metadata__") else declared,
            default,
        )
        for key, (declared, default) in core_fields(name).items()
    }


def core_fields(name: str) -> dict[str, tuple[Any, Any]]:
    """As `core_options`, with what `rlseq.fields` knows of a type: its range or names."""
    from rlseq.cores.layer import layer_class
    from rlseq.cores.options import LayerNames, Layers
    from rlseq.cores.stack import Stack

    if name == STACK:
        own = _fields(Stack, MIXED_BLOCK)
        return own | {
            "dtype": (typing.get_type_hints(Stack, include_extras=True)["dtype"], "float32"),
            "layers": (LayerNames, MIXED_BLOCK["layers"]),
        }
    if name not in core_names():
        raise unknown_name("core", name, [*core_names(), STACK])
    layer = layer_class(name)
    options = {**_fields(layer, {}), **_fields(Stack, layer.block)}
    return options | {"layers": (Layers, layer.block.get("layers", 1))}


def _fields(layer: Any, overrides: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Option -> (declared type, default) of a module's own fields, after `features`."""
    import dataclasses

    from rlseq.cores.options import Features

    hints = typing.get_type_hints(layer, include_extras=True)
    hidden = ("parent", "name", "features", *layer.hidden)
    own = {
        field.name: (hints[field.name], overrides.get(field.name, field.default))
        for field in dataclasses.fields(layer)
        if field.name not in hidden
    }
    return {"features": (Features, 128), **own}


def _default_layer(name: str, shared: dict[str, Any]) -> Any:
    """One layer of a mixed stack: its own defaults, the width and dtype of the stack."""
    from rlseq.cores.dtypes import of_layer
    from rlseq.cores.layer import layer_class

    layer = layer_class(name)
    defaults = {key: default for key, (_, default) in _fields(layer, {}).items()}
    return layer(**of_layer(shared["dtype"], defaults | shared))
