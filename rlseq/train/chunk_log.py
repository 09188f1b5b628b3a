"""What a chunk of training has to say: rows of the log, and its score."""

from pathlib import Path

import numpy as np

from rlseq.train import logging
from rlseq.train.build import Job

Metrics = dict[str, np.ndarray]  # [S] each


def unknown_as_nan(metrics: Metrics) -> Metrics:
    """NaN for return and length of seeds in which no episode ended.

    On the device they are 0: jax_debug_nans stops at any NaN there.
    """
    ended = metrics["episodes"] > 0
    means = {name: np.where(ended, metrics[name], np.nan) for name in ("return", "length")}
    return metrics | means


def rows(job: Job, step: int, seconds: float, rate: float, metrics: Metrics) -> list[logging.Row]:
    """A row for each seed, after `seconds` in all; `rate` is of this chunk."""
    return [
        {
            "step": step,
            "seed": job.config.seed + i,
            "seconds": round(seconds, 3),
            "steps_per_second": round(rate, 1),
            **{name: float(values[i]) for name, values in metrics.items()},
        }
        for i in range(job.config.seeds)
    ]


def mean_score(metrics: Metrics, before: float) -> float:
    """Mean return over the seeds in which an episode ended, else `before`."""
    values = np.asarray(metrics["return"])
    ended = values[np.isfinite(values)]
    return float(ended.mean()) if ended.size else before


def seconds_so_far(folder: Path) -> float:
    """Of training, by a run's log."""
    logged = logging.read(folder / logging.METRICS)
    return float(logged[-1]["seconds"]) if logged else 0.0


def has_diverged(folder: Path) -> bool:
    """Whether a run's log ends with a loss that is not finite."""
    logged = logging.read(folder / logging.METRICS)
    return bool(logged) and any(
        row.get("finite") != 1 for row in logged if row["step"] == logged[-1]["step"]
    )
