"""A report takes one protocol: nothing counts twice, nothing is mixed, older rows read alike."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from rlseq import cli
from rlseq.analysis import report
from rlseq.errors import InputError
from rlseq.train import episodes, logging
from rlseq.train.episodes import Protocol
from rlseq.train.play import Episodes
from tests.analysis.study import write_run

ENV = "popgym:RepeatFirstEasy"
RESULTS = Path(__file__).parents[2] / "results"
SAMPLED, GREEDY = Protocol(400, "sampled", 2, 100), Protocol(400, "greedy", 2, 100)


def add(folder, protocol, eval_seed, returns, seed=0, trajectories=None, cut=0):
    """One more evaluation of one seed, as `rlseq eval` writes it."""
    values = np.array(returns, np.float32).reshape(1, protocol.num_envs, -1)
    paths = np.arange(values.size) + 1000 * eval_seed if trajectories is None else trajectories
    cuts = np.arange(values.size).reshape(values.shape) < cut
    lengths = np.full(values.shape, 9)
    played = Episodes(values, lengths, cuts, np.array(paths).reshape(values.shape))
    number = episodes.next_number(logging.read(folder / logging.EPISODES))
    rows = episodes.rows_of(number, protocol, eval_seed, [seed], played)
    logging.append(folder / logging.EPISODES, rows)


@pytest.fixture
def run(tmp_path):
    """A run whose every evaluation is still to be written."""
    folder = write_run(tmp_path / "run", ENV, [[0.0]])
    (folder / logging.EPISODES).unlink()
    return folder


def scores_of(folder, tmp_path, **choice):
    out = tmp_path / "out"
    report.write([folder], out, overwrite=True, choice=report.Choice(**choice))
    with (out / "scores.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file)), (out / "report.md").read_text()


def test_greedy_and_sampled_episodes_are_never_mixed(run, tmp_path):
    add(run, SAMPLED, 0, [0.1, 0.2, 0.3, 0.6])
    add(run, GREEDY, 1, [0.9, 0.7])
    [score], page = scores_of(run, tmp_path)
    assert (score["mode"], score["episodes"]) == (
        "sampled",
        "4",
    ) and "4 sampled episodes, 4 of them distinct" in page
    assert float(score["mean_return"]) == pytest.approx(0.3)
    # Squares of -0.2, -0.1, 0 and 0.3 sum to 0.14.
    assert float(score["standard_error"]) == pytest.approx((0.14 / 3 / 4) ** 0.5, rel=1e-5)
    [score], _ = scores_of(run, tmp_path, mode="greedy")
    assert float(score["mean_return"]) == pytest.approx(0.8)
    assert float(score["standard_error"]) == pytest.approx(0.1, rel=1e-5)


def test_fresh_evaluations_are_pooled_and_repeated_ones_count_once(run, tmp_path):
    add(run, SAMPLED, 0, [0.0, 1.0])
    alone = scores_of(run, tmp_path)[0]
    for _ in range(2):
        add(run, SAMPLED, 0, [0.0, 1.0])
    [score], _ = scores_of(run, tmp_path)
    assert [score] == alone and (score["episodes"], score["evaluations"]) == ("2", "1")
    assert float(score["standard_error"]) == pytest.approx(0.5)
    add(run, SAMPLED, 1, [1.0, 0.0])
    [score], _ = scores_of(run, tmp_path)
    assert (score["episodes"], score["evaluations"], score["distinct"]) == ("4", "2", "4")
    assert float(score["standard_error"]) == pytest.approx((1 / 3 / 4) ** 0.5, rel=1e-5)


def test_another_way_of_playing_is_left_out_and_named(run, tmp_path):
    add(run, SAMPLED, 0, [0.0, 1.0, 0.0, 1.0])
    add(run, SAMPLED._replace(num_envs=1), 1, [9.0])
    add(run, SAMPLED._replace(max_steps=5), 2, [9.0, 9.0], cut=1)
    [score], page = scores_of(run, tmp_path)
    assert (score["episodes"], score["num_envs"], score["max_steps"]) == ("4", "2", "100")
    assert "Left out of run: 3 episodes" in page


def test_a_checkpoint_can_be_chosen(run, tmp_path):
    add(run, SAMPLED, 0, [1.0, 1.0])
    add(run, SAMPLED._replace(step=200), 0, [0.0, 0.5])
    assert scores_of(run, tmp_path)[0][0]["mean_return"] == "1"
    [score], page = scores_of(run, tmp_path, step=200)
    assert (score["step"], score["mean_return"]) == ("200", "0.25")
    assert "run is scored at step 200 and was trained to 400" in page
    with pytest.raises(InputError, match=r"at step 300 .*seed 0 sampled at 200; seed 0 sampled at"):
        scores_of(run, tmp_path, step=300)
    with pytest.raises(InputError, match=r"no greedy .*--greedy"):
        scores_of(run, tmp_path, mode="greedy")
    with pytest.raises(InputError, match="Did you mean 'greedy'"):
        scores_of(run, tmp_path, mode="gredy")


def test_seeds_of_a_run_are_scored_at_one_checkpoint(tmp_path):
    """Seed 1 was not played at step 800: both are taken at 400."""
    folder = write_run(tmp_path / "run", ENV, [[0.5], [0.7]])
    add(folder, SAMPLED._replace(step=800), 1, [9.0, 9.0], seed=0)
    found, _ = scores_of(folder, tmp_path)
    assert [(score["step"], score["mean_return"]) for score in found] == [
        ("400", "0.5"), ("400", "0.7")
    ]  # fmt: skip


def test_one_trajectory_has_no_error_and_a_warning(run, tmp_path):
    add(run, GREEDY, 1, [4.0] * 8, trajectories=[7] * 8)
    [score], page = scores_of(run, tmp_path, mode="greedy")
    assert (score["distinct"], score["standard_error"]) == ("1", "")
    assert "one trajectory, repeated, in seed 0 of popgym:RepeatFirstEasy by s5 ppo" in page


def test_cut_episodes_are_counted(run, tmp_path):
    add(run, SAMPLED, 0, [1.0, 2.0, 3.0, 4.0], cut=3)
    [score], _ = scores_of(run, tmp_path)
    assert (score["cut"], score["episodes"]) == ("3", "4")


def test_a_single_seed_claims_no_interval(run, tmp_path):
    add(run, SAMPLED, 0, [1.0, 2.0])
    scores_of(run, tmp_path)
    for name in ("games.csv", "aggregates.csv", "profiles.csv"):
        header, *rows = csv.reader((tmp_path / "out" / name).read_text().splitlines())
        ends = [i for i, column in enumerate(header) if column in ("low", "high")]
        assert ends and not any(row[i] for row in rows for i in ends)


def test_the_interval_of_a_game_is_students_over_its_seeds(tmp_path):
    """Means 0.2, 0.4 and 0.9, however many episodes each has."""
    folder = write_run(tmp_path / "run", ENV, [[0.1, 0.3], [0.4], [0.8, 0.9, 1.0]])
    scores_of(folder, tmp_path)
    [row] = csv.DictReader((tmp_path / "out" / "games.csv").read_text().splitlines())
    mean, error = 0.5, (0.26 / 2 / 3) ** 0.5
    assert float(row["return"]) == pytest.approx(mean)
    assert float(row["high"]) == pytest.approx(mean + 4.302653 * error, rel=1e-5)
    assert "differ in episodes a seed: 1, 2, 3" in (tmp_path / "out" / "report.md").read_text()


def kept(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "name", ["AtariBreakout", "CountRecallEasy", "RepeatFirstEasy/mlp", "imagination/catch_mamba2"]
)
def test_older_results_make_the_same_scores(name, tmp_path):
    """Rows of before evaluations had names: the mean of all of a seed's, as README has it."""
    rows = kept(RESULTS / name)
    found, _ = scores_of(RESULTS / name, tmp_path)
    for score in found:
        own = [row["return"] for row in rows if row["seed"] == int(score["seed"])]
        assert int(score["episodes"]) == len(own)
        np.testing.assert_allclose(float(score["mean_return"]), np.mean(own), rtol=1e-5)


def test_older_results_that_were_played_twice_count_once(tmp_path):
    """`eval` once played the episodes of the training's own evaluation again: 128, not 256."""
    rows = kept(RESULTS / "cores" / "s5")
    assert len(rows) == 256
    folder = write_run(tmp_path / "run", "popgym:RepeatPreviousEasy", [[0.0]])
    (folder / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    [score], _ = scores_of(folder, tmp_path)
    returns = np.array([row["return"] for row in rows[:128]])
    assert (score["episodes"], score["distinct"], score["max_steps"]) == ("128", "", "")
    np.testing.assert_allclose(float(score["mean_return"]), returns.mean(), rtol=1e-5)
    error = returns.std(ddof=1) / 128**0.5
    np.testing.assert_allclose(float(score["standard_error"]), error, rtol=1e-5)


def test_the_command_takes_a_choice(run, tmp_path, capsys):
    add(run, GREEDY, 1, [0.9, 0.7])
    arguments = ["report", str(run), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == cli.BAD_INPUT
    assert "seed 0 greedy at 400" in capsys.readouterr().err
    assert cli.main([*arguments, "--mode", "greedy", "--checkpoint", "400"]) == cli.DONE
    assert "2 greedy episodes, 2 of them distinct" in capsys.readouterr().err


def test_the_command_warns_of_one_trajectory(run, tmp_path, capsys):
    add(run, SAMPLED, 0, [4.0] * 4, trajectories=[7] * 4)
    assert cli.main(["report", str(run), "--out", str(tmp_path / "out")]) == cli.DONE
    err = capsys.readouterr().err
    assert "1 of them distinct" in err and "Warning: all episodes are one trajectory" in err
