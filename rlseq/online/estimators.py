"""The estimators by name, and which cores each of them fits."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import flax.linen as nn
import jax

from rlseq.cores import core_names, core_options, make_core
from rlseq.cores.recurrence import Recurrence
from rlseq.errors import InputError, unknown_name
from rlseq.online.influence import RTRL, SnAp1
from rlseq.online.types import Estimator, Truncated
from rlseq.online.uoro import UORO

ESTIMATORS = ("auto", "rtrl", "snap1", "uoro", "truncated")


def make_estimator(name: str, module: nn.Module) -> Estimator:
    """The named estimator of gradients through time.

    Args:
        name: "rtrl", exact, for one layer with a diagonal recurrence; "snap1" for one layer of
            cells; "uoro", unbiased and noisy, for every core that remembers; "truncated", one step
            alone, for every core. "auto" takes the first of rtrl, snap1 and truncated that fits.
        module: a core of `rlseq.make_core`, or an `Encoded` one.

    Raises InputError for an unknown name and for a core that the estimator does not fit.
    """
    if name not in ESTIMATORS:
        raise unknown_name("estimator", name, ESTIMATORS)
    stack = getattr(module, "core", module)
    if name == "auto":
        name = next(one for one in ("rtrl", "snap1", "truncated") if _fits(one, stack))
    if not _fits(name, stack):
        raise InputError(_misfit(name, stack))
    if name in ("rtrl", "snap1"):
        return {"rtrl": RTRL, "snap1": SnAp1}[name](module, _recurrence(stack))
    return {"uoro": UORO, "truncated": Truncated}[name](module)


def _fits(name: str, stack: Any) -> bool:
    if name == "truncated":
        return True
    if name == "uoro":
        return bool(jax.tree.leaves(jax.eval_shape(lambda: stack.init_carry(1))))
    recurrence = _recurrence(stack)
    return recurrence is not None and (name == "snap1" or recurrence.diagonal)


def _recurrence(stack: Any) -> Recurrence | None:
    """That of a core of one layer."""
    if len(stack.layers) != 1:
        return None
    return getattr(stack.layers[0], "recurrence", None)


def _misfit(name: str, stack: Any) -> str:
    kind = type(stack.layers[0]).__name__
    one_layer = "" if name == "uoro" else " with layers=1"
    fitting = ", ".join(_cores_of(partial(_fits, name)))
    depth = len(stack.layers)
    given = f"{depth} layer{'s' if depth > 1 else ''} of {kind}"
    return f"estimator {name!r} does not fit {given}; it fits these cores{one_layer}: {fitting}"


def _cores_of(fits: Callable[[Any], bool]) -> Iterator[str]:
    """The cores that fit as they are, or with the option `diagonal`."""
    for name in core_names():
        if fits(make_core(name, 8, layers=1)):
            yield name
        elif "diagonal" in core_options(name) and fits(make_core(name, 8, layers=1, diagonal=True)):
            yield f"{name} with diagonal=true"
