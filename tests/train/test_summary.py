"""The lines of an evaluation, and standard errors in closed form."""

import math

import numpy as np
import pytest

from rlseq.train.play import Episodes
from rlseq.train.summary import standard_error, summary
from rlseq.types import DataScores, Reference


def played(returns, cut=None, trajectories=None) -> Episodes:
    """Returns of seeds and episodes [S, N], in one slot; all distinct by default."""
    values = np.array(returns, np.float32)[:, None]
    paths = np.arange(values.size) if trajectories is None else np.array(trajectories)
    cut = np.zeros(values.shape, bool) if cut is None else np.array(cut).reshape(values.shape)
    lengths = np.where(cut, 9, 5).astype(np.int32)
    return Episodes(values, lengths, cut, paths.astype(np.uint32).reshape(values.shape))


def test_one_seed_has_the_error_over_its_episodes():
    said = summary(played([[1, 0]]), [0]).split("\n")
    assert said == ["2 distinct episodes", "mean return 0.5 ± 0.5 over 2 episodes"]


def test_the_standard_error_is_the_closed_form():
    values = np.array([1.0, 2.0, 4.0, 9.0])
    spread = sum((x - 4) ** 2 for x in values) / 3
    assert standard_error(values) == pytest.approx(math.sqrt(spread / 4))
    assert math.isnan(standard_error(values[:1]))


def test_seeds_are_the_samples_where_there_are_several():
    """Means 1 and 3: 2 +- 1, whatever the episodes of each; pooled they would say 0.4."""
    many = played([[0.9, 1.1] * 8, [2.9, 3.1] * 8])
    *before, last = summary(many, [5, 6]).split("\n")
    assert last == "mean return 2 ± 1 over 32 episodes"
    assert before[:2] == [
        "seed 5: mean return 1 ± 0.026 over 16 episodes",
        "seed 6: mean return 3 ± 0.026 over 16 episodes",
    ]
    assert "over the means of 2 seeds" in before[2]


def test_one_trajectory_has_no_error_and_a_warning():
    said = summary(played([[4.0] * 6], trajectories=[7] * 6), [0])
    assert said.endswith("mean return 4 ± nan over 6 episodes")
    assert "1 distinct episodes" in said and "warning: all episodes are one trajectory" in said


def test_equal_returns_of_distinct_episodes_are_no_repeat():
    said = summary(played([[1.0] * 6]), [0])
    assert "6 distinct" in said and "warning" not in said and "± 0 over" in said


def test_a_seed_that_repeats_is_named():
    said = summary(played([[4.0] * 2, [1.0, 2.0]], trajectories=[7, 7, 8, 9]), [3, 4])
    assert "all episodes of seed 3 are one trajectory" in said and "3 distinct" in said


def test_one_episode_has_no_error_and_no_warning():
    said = summary(played([[4.0]]), [0])
    assert said.endswith("mean return 4 ± nan over 1 episodes") and "warning" not in said


def test_cut_episodes_are_counted():
    said = summary(played([[1.0, 2.0, 3.0]], cut=[False, True, True]), [0])
    assert "2 of 3 episodes were cut after 9 steps" in said


def test_a_score_is_placed_on_the_scale_of_its_data():
    said = summary(played([[1.0, 3.0]]), [0], data_scores=DataScores(-2.0, 6.0))
    assert said.split("\n")[1] == "normalised as in D4RL 50.0 (0 is -2, 100 is 6)"


def test_a_score_is_placed_between_random_play_and_a_human():
    said = summary(played([[1.0, 3.0]]), [0], Reference(-1.0, 5.0))
    assert said.split("\n")[1:] == [
        "human-normalised 0.5 (random play -1, human 5)",
        "mean return 2 ± 1 over 2 episodes",
    ]
