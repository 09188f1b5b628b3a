"""Scores against slow twins; curves and figures from run folders written by hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from rlseq import config
from rlseq.analysis import curves, plots, scores
from rlseq.errors import InputError
from rlseq.train import logging, runs


def slow_iqm(values):
    ordered = sorted(values)
    cut = len(ordered) // 4
    middle = ordered[cut : len(ordered) - cut]
    return sum(middle) / len(middle)


@pytest.mark.parametrize("count", [1, 3, 4, 7, 16])
def test_iqm_equals_its_slow_twin(count):
    values = np.random.default_rng(count).normal(size=(count, 3))
    twin = [slow_iqm(column) for column in values.T]
    np.testing.assert_allclose(scores.iqm(values), twin)


def slow_interval(groups, resamples=2000):
    rng = np.random.default_rng(1)
    drawn = [
        slow_iqm(np.concatenate([rng.choice(group, len(group)) for group in groups]))
        for _ in range(resamples)
    ]
    return np.percentile(drawn, [2.5, 97.5])


def test_the_interval_resamples_within_each_task():
    rng = np.random.default_rng(0)
    groups = [rng.normal(0, 1, 8), rng.normal(5, 1, 8)]
    twin = slow_interval(groups)
    np.testing.assert_allclose(scores.interval(groups), twin, atol=0.1)


def slow_measures(groups):
    means = sorted(sum(group) / len(group) for group in groups)
    half = len(means) // 2
    short = [sum(1 - min(x, 1) for x in group) / len(group) for group in groups]
    return {
        "mean": sum(means) / len(means),
        "median": means[half] if len(means) % 2 else (means[half - 1] + means[half]) / 2,
        "IQM": slow_iqm([x for group in groups for x in group]),
        "optimality gap": sum(short) / len(short),
    }


@pytest.mark.parametrize("tasks", [3, 4])
def test_aggregates_equal_their_slow_twins(tasks):
    rng = np.random.default_rng(tasks)
    groups = [rng.normal(task, 1, 3 + task) for task in range(tasks)]
    drawn = [
        slow_measures([rng.choice(group, len(group)) for group in groups]) for _ in range(2000)
    ]
    for name, found in scores.aggregate(groups).items():
        np.testing.assert_allclose(found.value, slow_measures(groups)[name])
        twin = np.percentile([one[name] for one in drawn], [2.5, 97.5])
        np.testing.assert_allclose((found.low, found.high), twin, atol=0.1)


def test_a_profile_is_the_share_of_runs_above():
    groups = [np.array([0.0, 1.0]), np.array([2.0, 3.0, 0.5, 0.6])]
    found = scores.profile(groups, np.array([-1.0, 0.55, 3.0]))
    np.testing.assert_allclose(found.value, [1, (1 / 2 + 3 / 4) / 2, 0])
    assert (found.low <= found.value).all() and (found.value <= found.high).all()
    assert found.low[1] < found.high[1]


def test_one_seed_has_no_interval():
    one = np.arange(3.0)[None]
    for low, high in (
        scores.interval([one]),
        scores.band(one),
        scores.mean_interval(one[0, :1])[1:],
    ):
        assert np.isnan(low).all() and np.isnan(high).all()
    assert np.isnan(scores.interval([np.arange(3.0), np.arange(1.0)])).all()


def test_the_interval_of_a_mean_is_students():
    """With 3 runs t(0.975, 2) = 4.302653; and as scipy has it."""
    runs = np.array([1.0, 2.0, 6.0])
    error = np.sqrt(((1 - 3) ** 2 + (2 - 3) ** 2 + (6 - 3) ** 2) / 2 / 3)
    found = scores.mean_interval(runs)
    np.testing.assert_allclose(found, (3, 3 - 4.302653 * error, 3 + 4.302653 * error), rtol=1e-6)
    for count in (2, 5, 30):
        runs = np.random.default_rng(count).normal(size=count)
        own = stats.t.interval(0.95, count - 1, runs.mean(), stats.sem(runs))
        np.testing.assert_allclose(scores.mean_interval(runs)[1:], own)


def test_intervals_of_means_hold_what_they_claim():
    """Of 2,000 studies of 3 seeds each about 95 % hold the true mean; bootstraps 75 %."""
    drawn = np.random.default_rng(0).normal(size=(2000, 3))
    found = [scores.mean_interval(runs) for runs in drawn]
    held = np.mean([one.low <= 0 <= one.high for one in found])
    assert abs(held - 0.95) < 0.02
    within = (drawn.min(axis=1) <= 0) & (drawn.max(axis=1) >= 0)
    low, high = scores.interval([drawn[0]], measure=scores.mean)
    assert (low, high) == (drawn[0].min(), drawn[0].max()) and abs(within.mean() - 0.75) < 0.03


def test_the_band_of_few_runs_is_their_range():
    runs = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_array_equal(scores.band(runs), (runs.min(axis=0), runs.max(axis=0)))
    many = np.random.default_rng(0).normal(size=(6, 5))
    low, high = scores.band(many)
    assert (many.min(axis=0) < low).all() and (low < high).all()


def make_run(root, name, returns, **changes):
    composed = config.compose(["experiment=debug", f"run.dir={root / name}"])
    composed.env.id = changes.get("env", composed.env.id)
    composed.seeds = max(1, len(returns))
    run = runs.create(composed)
    for seed, values in enumerate(returns):
        rows = [
            {"step": 100 * (i + 1), "seed": seed, "seconds": 0.5 * i, "return": value}
            for i, value in enumerate(values)
        ]
        logging.append(run.folder / logging.METRICS, rows)
    return run.folder


def test_a_curve_has_one_row_a_seed_and_no_holes(tmp_path):
    folder = make_run(tmp_path, "run", [[np.nan, 1.0, np.nan, 3.0], [0.0, 1.0, 2.0]])
    curve = curves.read(folder)
    np.testing.assert_array_equal(curve.steps, [200, 300])  # where both seeds have values
    np.testing.assert_array_equal(curve.values, [[1.0, 2.0], [1.0, 2.0]])
    np.testing.assert_array_equal(curve.seconds, [0.5, 1.0])
    assert (curve.env, curve.label) == ("popgym:RepeatPreviousEasy", "s5 ppo")


def test_a_curve_ends_where_a_seed_has_no_value_any_more(tmp_path):
    folder = make_run(tmp_path, "run", [[1.0, 3.0, np.nan, np.nan], [np.nan, 1.0, 2.0, 3.0]])
    curve = curves.read(folder)
    np.testing.assert_array_equal(curve.steps, [200])
    np.testing.assert_array_equal(curve.values, [[3.0], [1.0]])
    apart = make_run(tmp_path, "apart", [[1.0, np.nan, np.nan], [np.nan, np.nan, 2.0]])
    with pytest.raises(InputError, match="no values of 'return'"):
        curves.read(apart)


def curve_of(steps, *values, seconds=1.0):
    steps = np.array(steps)
    return curves.Curve(
        Path("run"), "env", "label", steps, seconds * steps, np.array(values, float)
    )


def test_curves_are_merged_on_steps_that_all_have():
    """Runs that logged at other steps, with other speeds: there is no value beyond any of them."""
    one = curve_of([100, 200, 300], [1, 2, 3])
    two = curve_of([150, 250], [10, 20], [30, 40], seconds=3.0)
    merged = curves.merge([one, two], "both")
    np.testing.assert_array_equal(merged.steps, [200])
    np.testing.assert_array_equal(merged.values, [[2], [15], [35]])
    np.testing.assert_array_equal(merged.seconds, [400])
    with pytest.raises(InputError, match="no steps in common"):
        curves.merge([one, curve_of([400, 500], [1, 2])], "both")


def test_runs_without_values_are_refused(tmp_path):
    with pytest.raises(InputError, match="no metrics yet"):
        curves.read(make_run(tmp_path, "empty", []))
    with pytest.raises(InputError, match="no values of 'return'"):
        curves.read(make_run(tmp_path, "nothing", [[np.nan]]))
    with pytest.raises(InputError, match="Did you mean 'return'"):
        curves.read(make_run(tmp_path, "run", [[1.0]]), metric="retrun")


def test_a_figure_has_a_panel_an_environment_and_names_runs_apart(tmp_path):
    folders = [
        make_run(tmp_path, "a", [[0.0, 1.0], [0.5, 0.7]]),
        make_run(tmp_path, "b", [[0.0, 0.5]]),
        make_run(tmp_path, "c", [[0.0, 0.5]], env="popgym:RepeatFirstEasy"),
    ]
    figure = plots.draw([curves.read(folder) for folder in folders], "steps")
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [len(panel.lines) for panel in panels] == [2, 1]
    legend = panels[0].get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["s5 ppo (a)", "s5 ppo (b)"]
    assert legend.get_title().get_text() == "mean of 2 seeds, from the lowest to the highest"
    first, second = (
        [path.read_bytes() for path in plots.plot_runs(folders, tmp_path / out)] for out in "xy"
    )
    assert first == second  # figures are reproducible
