"""The summary of an evaluation as text."""

from collections.abc import Sequence

import numpy as np

from rlseq.train.play import Episodes
from rlseq.types import DataScores, Reference


def standard_error(values: np.ndarray) -> float:
    """Of the mean of independent values [N]; NaN for a single one, which has none."""
    return float(values.std(ddof=1) / values.size**0.5) if values.size > 1 else float("nan")


def summary(
    played: Episodes,
    seeds: Sequence[int],
    reference: Reference | None = None,
    data_scores: DataScores | None = None,
) -> str:
    """Lines that end with `mean return X ± Y over N episodes`.

    Y is the standard error of the mean: of several seeds over their means, for the episodes of
    one seed are of one policy; of one seed over its episodes; `nan` where there is but one. The
    lines before: each of several seeds; how many episodes were distinct, and how many cut; with
    the means of random play and of a human, the human-normalised score; with those that a data set
    names, the one normalised as in D4RL.

    Args:
        played: episodes of S seeds.
        seeds: S names of them.
        reference: where known.
        data_scores: of the data that was learned from, where known.
    """
    returns = played.returns.reshape(len(seeds), -1).astype(np.float64)
    paths = played.trajectories.reshape(len(seeds), -1)
    errors = [
        standard_error(own) if len(np.unique(path)) > 1 else float("nan")
        for own, path in zip(returns, paths, strict=True)
    ]
    lines = []
    if len(seeds) > 1:
        named = zip(seeds, returns, errors, strict=True)
        lines += [f"seed {seed}: {_mean(own, error)}" for seed, own, error in named]
        lines.append(f"below, ± is the standard error over the means of {len(seeds)} seeds")
    lines += _facts(played)
    lines += _repeats(seeds, paths)
    mean = returns.mean()
    if reference is not None:
        score, (random, human) = reference.normalised(mean), reference
        lines.append(f"human-normalised {score:.3g} (random play {random:g}, human {human:g})")
    if data_scores is not None:
        score, (low, high) = data_scores.normalised(mean), data_scores
        lines.append(f"normalised as in D4RL {score:.1f} (0 is {low:g}, 100 is {high:g})")
    error = errors[0] if len(seeds) == 1 else standard_error(returns.mean(axis=1))
    return "\n".join([*lines, _mean(returns, error)])


def _mean(returns: np.ndarray, error: float) -> str:
    return f"mean return {returns.mean():.4g} ± {error:.2g} over {returns.size} episodes"


def _facts(played: Episodes) -> list[str]:
    lines = [f"{len(np.unique(played.trajectories))} distinct episodes"]
    if played.cut.any():
        lines.append(
            f"{played.cut.sum()} of {played.cut.size} episodes were cut after "
            f"{played.lengths[played.cut].max():,} steps and count with what they had"
        )
    return lines


def _repeats(seeds: Sequence[int], paths: np.ndarray) -> list[str]:
    """A warning for each seed whose episodes are all the same."""
    alike = [
        seed
        for seed, own in zip(seeds, paths, strict=True)
        if own.size > 1 and len(np.unique(own)) == 1
    ]
    if not alike:
        return []
    named = f"of seed {', '.join(map(str, alike))} " if len(seeds) > 1 else ""
    return [
        f"warning: all episodes {named}are one trajectory, repeated: neither the game nor the "
        "policy has any chance in it, and more episodes add nothing"
    ]
