"""Scores over seeds and tasks: interquartile means and stratified bootstrap intervals."""

import numpy as np
from scipy import stats

_RESAMPLES = 2000


def iqm(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """The mean of the middle half along an axis; with fewer than four values, of all."""
    return stats.trim_mean(values, 0.25, axis=axis)


def interval(groups: list[np.ndarray], level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Stratified percentile-bootstrap interval of the IQM: (low [...], high [...]).

    Each group holds the runs of one task, [S, ...]: runs are resampled within their task, whole
    and equally at every point of the other axes. With one run a group there is nothing to
    resample: both ends are the IQM.
    """
    if min(len(group) for group in groups) < 2:
        score = iqm(np.concatenate(groups))
        return score, score
    result = stats.bootstrap(
        groups,
        lambda *samples, axis: iqm(np.concatenate(samples, axis=axis), axis=axis),
        axis=0,
        n_resamples=_RESAMPLES,
        batch=200,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return result.confidence_interval.low, result.confidence_interval.high
