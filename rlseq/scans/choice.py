"""Which method of an engine "auto" stands for, by platform, length and state size."""

import json
import math
from functools import lru_cache
from importlib import resources

import jax

from rlseq.errors import unknown_name


def choose(engine: str, method: str, methods: tuple[str, ...], length: int, size: int) -> str:
    """The method to run: the given one, or for "auto" the fastest where it was measured.

    Args:
        engine: its name in `choices.json`.
        method: "auto" or one of `methods`.
        methods: what the engine has, "auto" first and its most parallel form last.
        length: T.
        size: elements of the state over the batch.

    On a platform without measurements "auto" is the most parallel form. Among the measured cases
    the nearest counts, by the logarithms of length and size.

    Raises InputError for an unknown method.
    """
    if method not in methods:
        raise unknown_name("scan method", method, methods)
    if method != "auto":
        return method
    rows = _table().get(engine, {}).get(jax.default_backend(), [])
    if not rows:
        return methods[-1]
    here = math.log(max(length, 1)), math.log(max(size, 1))

    def distance(row: dict) -> float:
        return math.dist(here, (math.log(row["length"]), math.log(row["size"])))

    return min(rows, key=distance)["method"]


@lru_cache
def _table() -> dict:
    """Engine -> platform -> rows of (length, size, method); `rlseq bench choices` writes it."""
    text = resources.files("rlseq.scans").joinpath("choices.json").read_text("utf-8")
    return json.loads(text)["fastest"]
