"""What a function makes and draws, from its trace alone."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

WIDE = ("float64", "complex128", "int64", "uint64")


def wide_leaves(tree: Any) -> list[str]:
    """Paths and dtypes of the leaves of more than 32 bits."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [f"{jax.tree_util.keystr(at)} {x.dtype}" for at, x in leaves if str(x.dtype) in WIDE]


def doubles(function: Callable, *args: Any) -> list[str]:
    """Operations that give doubles or draw 64 bits at a time: their numbers depend on the width."""
    found = set()
    for equation in _equations(jax.make_jaxpr(function)(*args).jaxpr):
        drawn = equation.params.get("bit_width") == 64
        kinds = {str(getattr(out.aval, "dtype", "")) for out in equation.outvars}
        if drawn or kinds & {"float64", "complex128"}:
            found.add(equation.primitive.name)
    return sorted(found)


def _equations(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    for equation in jaxpr.eqns:
        yield equation
        inner = jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr)
        for part in filter(_is_jaxpr, inner):
            yield from _equations(part.jaxpr if isinstance(part, ClosedJaxpr) else part)


def _is_jaxpr(x: Any) -> bool:
    return isinstance(x, Jaxpr | ClosedJaxpr)
