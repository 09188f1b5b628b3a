"""How much each input moves each output: the influence map, and time scales read off it.

The map of a linear core is its unrolled form, of any other core the Jacobian along one sequence.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from jax import Array, lax
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from rlseq.analysis.whole import whole
from rlseq.errors import InputError
from rlseq.types import CoreFns, Params


def influence(fns: CoreFns, params: Params, x: Array, reset: Array) -> np.ndarray:
    """|d y[t] / d x[s]| as [T, T], rows t and columns s, in the Frobenius norm.

    Zero above the diagonal and, exactly, wherever a reset lies in (s, t].

    Args:
        fns: a core, from `rlseq.functional`.
        params: its parameters.
        x: [T, D], one sequence; it starts from a fresh carry.
        reset: [T] bool.

    Raises InputError for an x that is not [T, D] or a reset that is not [T].
    """
    if x.ndim != 2 or reset.shape != x.shape[:1]:
        raise InputError(f"x is [T, D] and reset [T], got {x.shape} and {reset.shape}")

    def outputs(x: Array) -> Array:
        return fns.scan(params, fns.init_carry(1), x[:, None], reset[:, None])[1][:, 0]

    @jax.jit
    def rows(x: Array) -> Array:
        y, pull = jax.vjp(outputs, x)

        def row(t: Array) -> Array:
            seeds = jnp.zeros((y.shape[1], *y.shape), y.dtype)
            seeds = seeds.at[:, t].set(jnp.eye(y.shape[1], dtype=y.dtype))
            (jacobian,) = jax.vmap(pull)(seeds)  # [F, T, D]
            return jnp.sqrt(jnp.square(jacobian).sum((0, 2)))

        return lax.map(row, jnp.arange(y.shape[0]))

    return np.asarray(rows(x))


def lag_profile(influences: np.ndarray, reset: np.ndarray) -> np.ndarray:
    """Mean influence by lag, [T]: over all pairs (t, t - lag) within one episode; NaN without any.

    Args:
        influences: [T, T], from `influence`.
        reset: [T] bool, the one passed to `influence`.
    """
    episode = np.cumsum(np.asarray(reset))
    length = len(influences)
    means = np.full(length, np.nan)
    for lag in range(length):
        later = np.arange(lag, length)
        inside = later[episode[later] == episode[later - lag]]
        if inside.size:
            means[lag] = influences[inside, inside - lag].mean()
    return means


def effective_memory(profile: np.ndarray) -> float:
    """The mean lag, weighted by influence: 0 for a core without memory.

    Raises InputError for a profile without any influence.
    """
    profile = np.nan_to_num(profile)
    if profile.sum() <= 0:
        raise InputError("the profile is zero: there is no influence to average")
    return float(np.arange(len(profile)) @ profile / profile.sum())


def horizon(profile: np.ndarray, share: float = 0.95) -> int:
    """The smallest lag up to which `share` of all influence lies."""
    total = np.cumsum(np.nan_to_num(profile))
    return int(np.searchsorted(total, share * total[-1]))


def time_scale(profile: np.ndarray, first: int = 1) -> float:
    """Steps in which influence falls by e: the slope of log influence from lag `first` on.

    Infinite where it does not fall; 0 where there is no influence at two lags or more. Least
    squares, each lag with the weight of its influence, so that a tail near zero hardly counts.
    """
    lags = np.arange(len(profile))
    used = (lags >= first) & (np.nan_to_num(profile) > 0)
    if used.sum() < 2:
        return 0.0
    # polyfit squares its weights.
    slope, _ = np.polyfit(lags[used], np.log(profile[used]), 1, w=np.sqrt(profile[used]))
    return float(-1 / slope) if slope < 0 else float("inf")


def draw(influences: np.ndarray, reset: np.ndarray) -> Figure:
    """The map in logarithmic grey (zero is white), resets as lines, and its profile by lag."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    positive = influences[influences > 0]
    top = positive.max() if positive.size else 1.0
    shown = np.ma.masked_less_equal(influences, 0)
    norm = LogNorm(max(1e-6 * top, np.finfo(np.float32).tiny), top)
    image = left.imshow(shown, cmap="Greys", norm=norm, interpolation="nearest")
    figure.colorbar(image, ax=left, label="|d y[t] / d x[s]|")
    for step in np.flatnonzero(reset):
        left.axhline(step - 0.5, color="#D55E00", lw=0.6)
        left.axvline(step - 0.5, color="#D55E00", lw=0.6)
    left.set_xlabel("input s")
    left.set_ylabel("output t")
    profile = lag_profile(influences, reset)
    if np.nan_to_num(profile).max() > 0:
        right.semilogy(np.where(profile > 0, profile, np.nan), color="#0072B2")
    right.set_xlabel("lag t - s")
    right.set_ylabel("mean influence")
    return figure


def save(path: str | Path, influences: np.ndarray, reset: np.ndarray) -> None:
    """Save the figure of `draw`; the suffix of the path chooses the format."""
    style: dict[Any, Any] = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
    with matplotlib.rc_context(style), whole(Path(path)) as beside:
        draw(influences, reset).savefig(beside, dpi=160)
