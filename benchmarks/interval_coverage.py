"""How often intervals over seeds hold the true mean: `python interval_coverage.py`.

Normal scores, as many studies as --studies; the bootstrap of `rlseq.analysis.scores.interval`
beside Student's t of one game. The table of docs/report.md.
"""

import argparse

import numpy as np

from rlseq.analysis import scores

SEEDS, GAMES = (2, 3, 5, 10), (1, 5, 26)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    rng = np.random.default_rng(0)
    for games in GAMES:
        shares = [bootstrap(rng.normal(size=(studies, games, seeds))) for seeds in SEEDS]
        print(f"bootstrap, {games} games:", *(f"{share:.1%}" for share in shares))
    shares = [students(rng.normal(size=(studies, seeds))) for seeds in SEEDS]
    print("Student's t, 1 game:", *(f"{share:.1%}" for share in shares))


def bootstrap(drawn: np.ndarray) -> float:
    """The share of studies [N, games, seeds] whose interval of the mean holds 0."""
    found = [scores.interval(list(study), measure=scores.mean) for study in drawn]
    return float(np.mean([low <= 0 <= high for low, high in found]))


def students(drawn: np.ndarray) -> float:
    """The same of one game's [N, seeds]."""
    found = [scores.mean_interval(runs) for runs in drawn]
    return float(np.mean([one.low <= 0 <= one.high for one in found]))


if __name__ == "__main__":
    main()
