"""The calculator against published aggregates, and what the data say of themselves."""

import numpy as np
import pytest

from rlseq.analysis import atari_scores, scores
from rlseq.envs.atari.scores import REFERENCES

# Agent -> mean and median of its paper (SimPLe to EDELINE as rounded there), from its column.
OF_MEANS = {
    "SimPLe": (0.33, 0.13),
    "SPR": (0.62, 0.40),
    "TWM": (0.96, 0.51),
    "IRIS": (1.05, 0.29),
    "DreamerV3": (1.25, 0.49),
    "STORM": (1.27, 0.58),
    "Drama_XS": (1.05, 0.27),
    "TWISTER": (1.62, 0.77),
    "EDELINE": (1.87, 0.82),
}
# Agent -> mean, median, IQM and optimality gap of its runs. IQMs of IRIS, DIAMOND and Simulus are
# those of their papers; the others were computed from the same files with other code.
OF_RUNS = {
    "SimPLe": (0.332, 0.134, 0.130, 0.729),
    "TWM": (0.956, 0.505, 0.459, 0.513),
    "IRIS": (1.046, 0.289, 0.501, 0.512),
    "STORM without demo": (1.222, 0.425, 0.561, 0.472),
    "delta-IRIS": (1.383, 0.594, 0.682, 0.443),
    "DIAMOND": (1.459, 0.373, 0.641, 0.480),
    "HarmonyDream": (1.364, 0.671, 0.607, 0.462),
    "Simulus": (1.645, 0.982, 0.990, 0.412),
}


def test_the_tables_agree_on_games_and_on_random_and_human_play():
    rows = atari_scores._rows("scores")
    assert tuple(row["Game"] for row in rows) == tuple(REFERENCES)
    for row in rows:
        assert (float(row["Random"]), float(row["Human"])) == REFERENCES[row["Game"]]
    assert {*rows[0]} - {"Game", "Random", "Human"} <= {*atari_scores.SOURCES}


@pytest.mark.parametrize("agent", OF_MEANS)
def test_columns_have_the_published_mean_and_median(agent):
    groups = atari_scores.normalised(atari_scores.published()[agent].means)
    # Half a percent of rounding; DreamerV3's own table says 49 where its column's median is 48.
    tolerance = 0.0105 if agent == "DreamerV3" else 0.0055
    found = (scores.mean(groups), scores.median(groups))
    np.testing.assert_allclose(found, OF_MEANS[agent], atol=tolerance)


@pytest.mark.parametrize("agent", OF_RUNS)
def test_runs_have_the_published_aggregates(agent):
    groups = atari_scores.normalised(atari_scores.published()[agent].runs)
    found = [measure(groups, 0) for measure in scores.MEASURES.values()]
    np.testing.assert_allclose(found, OF_RUNS[agent], atol=0.0006)


def test_the_iqm_of_means_is_not_that_of_runs():
    storm = scores.pooled_iqm(atari_scores.normalised(atari_scores.published()["STORM"].means))
    drama = atari_scores.normalised(atari_scores.published()["Drama_XS"].means)
    np.testing.assert_allclose(storm, 0.679, atol=0.0006)
    np.testing.assert_allclose(scores.pooled_iqm(drama), 0.416, atol=0.0006)
    np.testing.assert_allclose(scores.optimality_gap(drama), 0.538, atol=0.0006)


def test_runs_average_to_their_column():
    for agent, (means, runs) in atari_scores.published().items():
        if means is not None and runs is not None:
            assert runs.shape == (26, 5), agent
            np.testing.assert_allclose(runs.mean(axis=1), means, atol=0.51)  # rounded there
