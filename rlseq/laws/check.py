"""All laws on one core, one verdict a law: what `rlseq check core` prints."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from rlseq.cores import core_options, make_core
from rlseq.laws import cores as laws
from rlseq.laws.core_cases import AMPLIFIED, FEATURES, LENGTH, MIDDLE, case, methods, runs

DRAWS = ((0, 0.0), (1, 0.3), (2, 1.0))  # seed, rate of resets
LONG = 4096
Check = Callable[[str, dict[str, Any]], None]  # a core and a method's option


class Verdict(NamedTuple):
    """What was found of one law."""

    law: int
    about: str
    holds: bool | None  # None: not checked
    why: str = ""


def check_core(name: str, twin: Callable[..., Any] | None = None) -> Iterator[Verdict]:
    """A verdict on each law, in order, each as soon as it is known.

    Two layers of the core with its defaults, by each of its methods. `twin` is
    `twin(layer, params, carry, x [T, B, D], reset [T, B]) -> y` in NumPy, of one layer.
    Raises InputError for an unknown core and one that is none.
    """
    core_options(name)
    for law, (about, check) in LAWS.items():
        if law == 7:
            yield Verdict(law, about, None, "of a scan of your own: laws 1 and 2 see its faults")
        elif law == 10 and twin is None:
            yield Verdict(law, about, None, "give --twin my_module:twin")
        else:
            found = check or _twin_law(twin)
            wrong = "; ".join(_faults(found, name))
            yield Verdict(law, about, not wrong, wrong)


def _faults(check: Check, name: str) -> Iterator[str]:
    """How a law is broken, method by method."""
    for extra in methods(name):
        try:
            check(name, extra)
        except Exception as error:  # a core of the user's own may raise anything
            method = f"method {extra['method']}: " if extra else ""
            yield f"{method}{described(error)}"


def described(error: Exception) -> str:
    """In one line; of NumPy's comparisons how far the values are apart."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    kept = ("Mismatched", "Max absolute", "x and y")
    apart = [line for line in lines if line.startswith(kept)]
    said = ", ".join(apart) or (lines[0] if lines else "")
    return said if isinstance(error, AssertionError) else f"{type(error).__name__}: {said}"


def _sequence(name: str, extra: dict[str, Any]) -> None:
    for length in (1, LENGTH):
        for seed, rate in DRAWS:
            laws.sequence_equals_steps(case(name, length, seed, rate, **extra))


def _split(name: str, extra: dict[str, Any]) -> None:
    for cut in (1, LENGTH - 1):
        for seed, rate in DRAWS:
            laws.split_equals_whole(case(name, LENGTH, seed, rate, **extra), cut)


def _reset(name: str, extra: dict[str, Any]) -> None:
    for at in (0, 5, MIDDLE):
        laws.reset_is_a_fresh_start(case(name, **extra), at, AMPLIFIED.get(name, 2e-5))
        laws.no_gradient_passes_a_reset(case(name, **extra), at)


def _broken(name: str, extra: dict[str, Any]) -> None:
    for bad in (np.nan, np.inf):
        for at in (0, MIDDLE):
            laws.broken_carry_stays_before_a_reset(case(name, **extra), at, bad)
        if extra.get("method", "sequential") == "sequential":
            laws.broken_input_stays_before_a_reset(case(name, **extra), bad)


def _form(name: str, extra: dict[str, Any]) -> None:
    laws.carry_keeps_its_form(case(name, **extra))
    laws.empty_sequence_changes_nothing(case(name, **extra))


def _rows(name: str, extra: dict[str, Any]) -> None:
    laws.rows_do_not_mix(case(name, **extra), case(name, seed=1, **extra))


def _vmap(name: str, extra: dict[str, Any]) -> None:
    laws.vmap_over_parameters_is_a_loop(case(name, **extra))


def _compiled(name: str, extra: dict[str, Any]) -> None:
    laws.one_compilation_a_shape(case(name, **extra))


def _causal(name: str, extra: dict[str, Any]) -> None:
    for at in (5, MIDDLE):
        laws.causal(case(name, **extra), at)


def _gradients(name: str, extra: dict[str, Any]) -> None:
    for seed, rate in DRAWS:
        c = case(name, LENGTH, seed, rate, **extra)
        laws.gradients_equal_those_of_the_steps(c, AMPLIFIED.get(name, 1e-4))
    laws.extreme_inputs_stay_finite(case(name, **extra))


def _float64(name: str, extra: dict[str, Any]) -> None:
    c, expected = laws.in_float64(name, LONG, ())
    laws.stays_near_float64(c, runs(name, tuple(extra.items())).scan, expected)


def _twin_law(twin: Any) -> Check:
    """Law 10 of a bare layer, for a twin that knows no stack."""
    bare = {"layers": 1, "norm": "none", "mixer": "none", "residual": False}

    def check(name: str, extra: dict[str, Any]) -> None:
        for seed, rate in DRAWS:
            c = case(name, LENGTH, seed, rate, **bare, **extra)
            layer = make_core(name, FEATURES, **bare, **extra).layers[0]
            params = c.params["params"].get("layers_0", {})
            y = twin(layer, params, c.carry[0], np.asarray(c.x), np.asarray(c.reset))
            laws.twin_agrees(c, y, AMPLIFIED.get(name, 1e-5))

    return check


# As CONTRIBUTING.md numbers them; without a function where the caller brings it.
LAWS: dict[int, tuple[str, Check | None]] = {
    1: ("a scan equals the fold of its steps", _sequence),
    2: ("any split with the carry handed over equals the whole", _split),
    3: ("after a reset all is as in a fresh episode, and no gradient passes it", _reset),
    4: ("a NaN or infinity does not pass a reset", _broken),
    5: ("structure, shapes and dtypes of the carry never change", _form),
    6: ("rows of a batch do not mix", _rows),
    7: ("the operator of a parallel scan is associative", None),
    8: ("vmap over parameters equals a loop", _vmap),
    9: ("two calls of one shape compile once", _compiled),
    10: ("the NumPy twin agrees", None),
    11: ("y[t] does not depend on later inputs", _causal),
    12: ("gradients are finite, and equal between the scan and the steps", _gradients),
    13: (f"{LONG} steps in float32 stay near float64", _float64),
}
