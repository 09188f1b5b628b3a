"""`rlseq eval` and the evaluation after training: new episodes, one protocol, an end, Ctrl-C."""

import json
import os
import re
import shutil
import signal

import numpy as np
import pytest

from rlseq import cli
from rlseq.train import checkpoint, evaluate, logging, play
from rlseq.train.logging import EPISODES

TINY = ["core=mlp", "core.features=4", "run.quiet=true", "env.num_envs=4", "run.chunks=2"]
TINY += [f"agent.{o}" for o in ("num_steps=8", "minibatches=1", "epochs=1", "encoder=4", "head=4")]


def run_cli(*arguments: object) -> int:
    return cli.main([str(one) for one in arguments])


def train(folder, *overrides: str) -> int:
    return run_cli("train", "experiment=debug", *TINY, *overrides, f"run.dir={folder}")


def last_line(capsys) -> str:
    return capsys.readouterr().out.strip().split("\n")[-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eval") / "run"
    overrides = ("total_steps=64", "run.eval_episodes=8", "seeds=2")
    assert train(folder, *overrides) == cli.DONE
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def trajectories(rows) -> set[int]:
    return {row["trajectory"] for row in rows}


def test_every_evaluation_draws_new_episodes(run, capsys):
    own = logging.read(run / EPISODES)
    assert {(row["evaluation"], row["eval_seed"], row["mode"]) for row in own} == {
        (0, 0, "sampled")
    }
    for number in (1, 2):
        before = logging.read(run / EPISODES)
        assert run_cli("eval", run, "--episodes", 8) == cli.DONE
        assert f"evaluation seed {number}" in capsys.readouterr().err
        new = logging.read(run / EPISODES)[len(before) :]
        assert {(row["evaluation"], row["eval_seed"]) for row in new} == {(number, number)}
        assert len(new) == 16 and not trajectories(new) & trajectories(before)


def test_an_evaluation_that_repeats_says_so_and_adds_nothing(run, capsys):
    before = (run / EPISODES).read_bytes()
    mean = np.mean([row["return"] for row in logging.read(run / EPISODES)])
    assert run_cli("eval", run, "--episodes", 8, "--eval-seed", 0) == cli.DONE
    captured = capsys.readouterr()
    assert f"mean return {mean:.4g} ±" in captured.out
    assert "has these episodes already, so none is added" in captured.err
    assert (run / EPISODES).read_bytes() == before
    assert run_cli("eval", run, "--eval-seed", -1) == cli.BAD_INPUT
    assert run_cli("eval", run, "--eval-seed", 2**32) == cli.BAD_INPUT


def test_the_mean_over_seeds_has_the_error_over_seeds(run, capsys):
    assert run_cli("eval", run, "--episodes", 8) == cli.DONE
    said = capsys.readouterr().out.strip().split("\n")
    rows = logging.read(run / EPISODES)[-16:]
    means = [np.mean([r["return"] for r in rows if r["seed"] == seed]) for seed in (0, 1)]
    error = abs(means[0] - means[1]) / 2
    assert said[-1] == f"mean return {np.mean(means):.4g} ± {error:.2g} over 16 episodes"
    assert said[0].startswith(f"seed 0: mean return {means[0]:.4g} ±")


def test_a_limit_cuts_and_counts(run, capsys):
    """RepeatPreviousEasy has 51 steps an episode."""
    assert run_cli("eval", run, "--episodes", 4, "--max-steps", 20) == cli.DONE
    assert "8 of 8 episodes were cut after 20 steps" in capsys.readouterr().out
    new = logging.read(run / EPISODES)[-8:]
    assert all(r["cut"] and (r["length"], r["max_steps"]) == (20, 20) for r in new)
    assert run_cli("eval", run, "--episodes", 4, "--max-steps", 51) == cli.DONE
    assert not any(row["cut"] for row in logging.read(run / EPISODES)[-8:])


def interrupting(monkeypatch, number=signal.SIGINT):
    """The next play gets a signal before its first look."""
    plain = evaluate.evaluate

    def interrupted(*args, **options):
        os.kill(os.getpid(), number)
        return plain(*args, **options)

    monkeypatch.setattr(evaluate, "evaluate", interrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_eval_and_adds_nothing(run, monkeypatch, capsys, number):
    before = (run / EPISODES).read_bytes()
    monkeypatch.setattr(play, "_CHUNK", 4)
    interrupting(monkeypatch, number)
    assert run_cli("eval", run, "--episodes", 8) == cli.INTERRUPTED
    captured = capsys.readouterr().err
    assert re.search(r"interrupted after 0 of 16 episodes, 4 steps.*nothing was added to", captured)
    assert (run / EPISODES).read_bytes() == before
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def test_a_signal_while_evaluating_leaves_a_whole_run(run, tmp_path, monkeypatch, capsys):
    """`resume` plays what an undisturbed run plays, also after an `eval` in between."""
    folder = tmp_path / "again"
    with monkeypatch.context() as patched:
        interrupting(patched)
        patched.setattr(play, "_CHUNK", 4)
        overrides = ("total_steps=64", "run.eval_episodes=8", "seeds=2")
        assert train(folder, *overrides) == cli.INTERRUPTED
    captured = capsys.readouterr().err
    assert f"step 64; evaluate it with: rlseq resume {folder}" in captured
    assert checkpoint.steps(folder / "checkpoints")[-1] == 64
    assert logging.read(folder / EPISODES) == []
    assert run_cli("eval", folder, "--episodes", 4, "--greedy") == cli.DONE
    assert run_cli("resume", folder) == cli.DONE
    rows = logging.read(folder / EPISODES)[8:]
    own = logging.read(run / EPISODES)
    assert [row | {"evaluation": 0} for row in rows] == own
    size = (folder / EPISODES).stat().st_size
    assert run_cli("resume", folder) == cli.DONE  # and plays nothing twice
    assert (folder / EPISODES).stat().st_size == size


def test_greedy_play_without_a_limit_or_chance_ends_with_a_warning(tmp_path, capsys):
    """CliffWalking has no step limit and no chance: one trajectory, cut."""
    folder = tmp_path / "cliff"
    overrides = ("env.id=gymnasium:CliffWalking-v1", "total_steps=64", "run.eval_episodes=0")
    assert train(folder, *overrides) == cli.DONE
    assert run_cli("eval", folder, "--episodes", 8, "--greedy", "--max-steps", 100) == cli.DONE
    said = capsys.readouterr().out
    rows = logging.read(folder / EPISODES)
    assert len(rows) == 8 and all(row["max_steps"] == 100 for row in rows)
    assert len(trajectories(rows)) == 1 and "1 distinct episodes" in said
    assert "warning: all episodes are one trajectory" in said
    assert f"mean return {rows[0]['return']:.4g} ± nan over 8 episodes" in said
    assert rows[0]["cut"] is True and rows[0]["length"] == 100
    json.loads((folder / EPISODES).read_text().split("\n")[0])
