"""The products of a program: which dtypes their factors have."""

from collections import Counter
from typing import Any

import jax
from jax.extend.core import jaxprs_in_params

PRODUCTS = ("dot_general", "conv_general_dilated")


def products(function: Any, *args: Any) -> Counter:
    """How many products of a function have factors of which dtype, inside of loops too.

    A loop's body counts once; factors of two dtypes are "bfloat16 float32".
    """
    return Counter(_kinds(jax.make_jaxpr(function)(*args).jaxpr))


def _kinds(jaxpr: Any) -> list[str]:
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in PRODUCTS:
            found.append(" ".join(sorted({str(var.aval.dtype) for var in equation.invars})))
        for inner in jaxprs_in_params(equation.params):
            found += _kinds(inner)
    return found
