"""Searches: the space, trials that train nothing, and a real one that is killed.

Optuna is no part of the extra `test`: .ci/run has a step for it.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import pytest

from rlseq import cli
from rlseq.errors import InputError
from rlseq.train import logging
from rlseq.train.campaign import launchers, locks, process, worker
from rlseq.train.search import best, runner, space, study

FAKE = Path(__file__).with_name("fake_search_job.py")
LR = "agent.lr=tag(log,interval(1e-5,1e-1))"
# Between Optuna and Python.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def optuna():
    return pytest.importorskip("optuna")


def fake(monkeypatch, **does) -> None:
    monkeypatch.setattr(process, "COMMAND", (sys.executable, str(FAKE), json.dumps(does)))
    monkeypatch.setattr(runner, "_TICK", 0.005)
    monkeypatch.setattr(runner, "_LOOK", 0.02)
    monkeypatch.setattr(worker, "_TICK", 0.01)
    monkeypatch.setattr(worker, "_LOOK", 0.01)


def search(root: Path, *options: str, words=("core=mlp", LR)) -> int:
    return cli.main(["search", "experiment=debug", *words, "--root", str(root), *options])


def states(root: Path) -> list[str]:
    return [trial.state.name for trial in study.load(root).trials]


def test_without_optuna_the_error_names_the_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert search(tmp_path / "root") == cli.BAD_INPUT
    assert "needs the package optuna: pip install 'rlseq[optuna]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_space_reads_like_a_sweep(optuna):
    words = ["experiment=debug", LR, "core=gru,mlp", "agent.num_steps=range(16,129,16)"]
    words += ["agent.gamma=choice(0.9,0.99)", "agent.epochs=int(interval(1,4))"]
    found = space.read(words)
    kinds = optuna.distributions
    assert found.fixed == ["experiment=debug", "run.checkpoint_every=1"]
    assert found.distributions == {
        "agent.lr": kinds.FloatDistribution(1e-5, 1e-1, log=True),
        "core": kinds.CategoricalDistribution(("gru", "mlp")),
        "agent.num_steps": kinds.IntDistribution(16, 128, step=16),
        "agent.gamma": kinds.CategoricalDistribution(("0.9", "0.99")),
        "agent.epochs": kinds.IntDistribution(1, 4),
    }
    assert found.words({"core": "gru"})[-1] == "core=gru"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["agent.lr=1e-3"], "nothing to search"),
        (["agent.lrr=1e-3,1e-4"], "Did you mean 'agent.lr'"),
        (["agent.lr=interval(0,1)"], "agent.lr must be above 0"),
        (["agent.epochs=interval(1,3)"], "agent.epochs must be a whole number"),
        (["agent.lr=interval(1,0)"], "agent.lr=interval"),
        (["agent.lr=tag(log,range(0.1,0.5,0.1))"], "write interval"),
        (["core=gru,lstn"], "Did you mean 'lstm'"),
        (["seed=0,1"], "a search does not vary seed"),
        (["run.chunks=2,4"], "a search does not vary run.chunks"),
        (["core=gru,mlp", "run.dir=x"], "run.dir is set by --root"),
        (["core=gru,mlp", "run.eval_episodes=0"], "run.eval_episodes is 0"),
        (["core=gru,mlp", "--pruner", "medial"], "Did you mean 'median'"),
    ],
)
def test_bad_input_is_found_before_anything_starts(optuna, words, message, tmp_path, capsys):
    command = ["search", "experiment=debug", *words, "--root", str(tmp_path / "root")]
    assert cli.main(command) == cli.BAD_INPUT
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_study_prunes_what_is_below_the_median(optuna, tmp_path, monkeypatch, capsys):
    fake(monkeypatch, pause=0.02)
    root, out = tmp_path / "root", tmp_path / "report"
    assert search(root, "--trials", "10") == cli.DONE
    told = capsys.readouterr().out
    found = study.load(root)
    assert len(found.trials) == 10
    done = [trial for trial in found.trials if trial.state.name == "COMPLETE"]
    pruned = [trial for trial in found.trials if trial.state.name == "PRUNED"]
    assert len(done) + len(pruned) == 10 and pruned
    assert [trial.number for trial in done][:5] == [0, 1, 2, 3, 4]  # the first ones finish
    first = best.best_of(found)
    assert first.value == max(trial.value for trial in done)
    assert f"the best is trial-{first.number:04d}, mean return {first.value:.4g}" in told
    assert f"rlseq train experiment=debug core=mlp agent.lr={first.params['agent.lr']}" in told
    for trial in pruned:  # in training, below the median of those before it at that percent
        at = trial.user_attrs["pruned_at"]
        assert 20 <= at < 100 and trial.value == trial.intermediate_values[at]
    before = (root / study.FILE).read_text()
    assert search(root, "--trials", "10") == cli.DONE  # nothing is missing
    assert (root / study.FILE).read_text() == before
    capsys.readouterr()
    assert cli.main(["report", str(root), "--out", str(out)]) == cli.DONE
    page = (out / "search.md").read_text()
    assert f"10 trials: {len(done)} finished, {len(pruned)} pruned." in page
    assert f"**trial-{first.number:04d}**" in page and "| agent.lr | 1.00 |" in page
    assert (out / "parallel.png").stat().st_size > 10_000
    with open(out / "trials.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["agent.lr"]) for row in rows] == [t.params["agent.lr"] for t in found.trials]
    assert cli.main(["report", str(root), "--out", str(out)]) == cli.BAD_INPUT
    assert "--overwrite replaces it" in capsys.readouterr().err


def test_killed_trials_are_resumed_and_failed_ones_are_results(
    optuna, tmp_path, monkeypatch, capsys
):
    fake(monkeypatch, **{"trial-0001": "kill", "trial-0002": "fail"})
    assert search(tmp_path, "--trials", "4", "--jobs", "2") == cli.FAILED
    told = capsys.readouterr()
    assert "trial-0001: killed by SIGKILL" in told.err and "1 jobs failed" in told.err
    assert "trial-0002: failed: the loss is not finite" in told.out
    assert states(tmp_path) == ["COMPLETE", "RUNNING", "FAIL", "COMPLETE"]
    rate = study.load(tmp_path).trials[1].params
    fake(monkeypatch)
    assert search(tmp_path, "--trials", "4") == cli.DONE
    assert states(tmp_path) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert study.load(tmp_path).trials[1].params == rate
    assert study.load(tmp_path).trials[2].user_attrs["failure"] == "the loss is not finite"


BY_BASIC = ("--launcher", "basic")


def test_a_launcher_runs_trials_and_the_search_prunes_them(optuna, tmp_path, monkeypatch, capsys):
    does = {"trial-0001": "kill", "trial-0002": "fail", "wait_below": -1}
    fake(monkeypatch, **does)
    monkeypatch.setattr(study, "_pruner", lambda name: optuna.pruners.ThresholdPruner(lower=-1))
    words = ["core=mlp", "agent.lr=0.1,0.001"]  # of the first, whose trial waits to be stopped
    assert search(tmp_path, "--trials", "6", *BY_BASIC, words=words) == cli.FAILED
    told = capsys.readouterr()
    assert "trial-0001: killed by SIGKILL" in told.err and "--launcher basic" in told.err
    assert "trial-0002: failed: the loss is not finite" in told.out
    ended = [(trial.params["agent.lr"], trial.state.name) for trial in study.load(tmp_path).trials]
    assert [state for _, state in ended[1:3]] == ["RUNNING", "FAIL"]
    ended = [ended[0], *ended[3:]]
    assert {rate for rate, _ in ended} == {"0.1", "0.001"}
    assert all(state == {"0.1": "PRUNED", "0.001": "COMPLETE"}[rate] for rate, state in ended)
    assert not list(tmp_path.glob("jobs/launch-*"))


def test_a_signal_stops_the_trials_of_a_launcher(optuna, tmp_path, monkeypatch, capsys):
    fake(monkeypatch, **{"trial-0000": "wait"})

    def interrupt() -> None:
        while not (tmp_path / "trial-0000/metrics.jsonl").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert search(tmp_path, "--trials", "2", *BY_BASIC) == cli.INTERRUPTED
    thread.join()
    assert "continue with: rlseq search" in capsys.readouterr().err
    assert states(tmp_path) == ["RUNNING"] and not locks.held(tmp_path / "jobs/trial-0000.lock")
    fake(monkeypatch)
    assert search(tmp_path, "--trials", "2", *BY_BASIC) == cli.DONE
    assert states(tmp_path) == ["COMPLETE", "COMPLETE"]


def test_a_launcher_that_fails_leaves_its_trials_to_be_resumed(
    optuna, tmp_path, monkeypatch, capsys
):
    def launch(*_) -> None:
        raise RuntimeError("no nodes are left")

    fake(monkeypatch)
    with monkeypatch.context() as broken:
        broken.setattr(launchers, "hydra_multirun", launch)
        assert search(tmp_path, "--trials", "1", *BY_BASIC) == cli.FAILED
    told = capsys.readouterr().err
    assert "the launcher 'basic' failed: RuntimeError: no nodes are left" in told
    assert states(tmp_path) == ["RUNNING"]
    assert search(tmp_path, "--trials", "1") == cli.DONE  # by whatever means
    assert states(tmp_path) == ["COMPLETE"]
    assert search(tmp_path, "--trials", "1", "hydra.launcher.n_jobs=2") == cli.BAD_INPUT
    assert "name it by --launcher NAME" in capsys.readouterr().err


def test_what_a_kill_leaves_of_the_study_is_mended(optuna, tmp_path, monkeypatch, capsys):
    fake(monkeypatch)
    assert search(tmp_path, "--trials", "1") == cli.DONE
    path = tmp_path / study.FILE
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"op_code":4,"worker')
    (tmp_path / f"{study.FILE}.lock").symlink_to(path)
    known = study.load(tmp_path)
    # Killed between making a trial and drawing its values, and right after a trial was pruned.
    space_of = space.read(["experiment=debug", "core=mlp", LR])
    study._mend(tmp_path)
    known.ask()
    pruned = known.ask(space_of.distributions)
    pruned.report(0.5, 30)
    pruned.set_user_attr("pruned_at", 30)
    assert search(tmp_path, "--trials", "3") == cli.DONE
    assert states(tmp_path) == ["COMPLETE", "FAIL", "PRUNED", "COMPLETE"]
    lock = locks.take(tmp_path / study.LOCK)
    assert search(tmp_path, "--trials", "4") == cli.BAD_INPUT
    assert "another process searches in" in capsys.readouterr().err
    assert lock
    lock.close()
    for words in (["core=mlp", LR, "agent.gamma=0.9"], ["core=gru", LR], ["core=mlp,gru", LR]):
        assert search(tmp_path, "--trials", "4", words=words) == cli.BAD_INPUT
        assert "holds a study of another space" in capsys.readouterr().err
    with pytest.raises(InputError, match="holds no study"):
        study.load(tmp_path / "missing")


def test_a_real_search_goes_on_where_it_was_killed(optuna, tmp_path, monkeypatch, capsys):
    cache = str(jax.config.jax_compilation_cache_dir)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", cache)
    words = ["search", "experiment=debug", "core=mlp", LR, "total_steps=1920", "run.chunks=30"]
    words += ["run.eval_episodes=1", "--trials", "1", "--root", str(tmp_path / "root")]
    folder = tmp_path / "root" / "trial-0000"
    with subprocess.Popen([sys.executable, "-m", "rlseq", *words], cwd=tmp_path) as first:
        limit = time.monotonic() + 240
        while not (folder / "metrics.jsonl").exists():
            assert first.poll() is None and time.monotonic() < limit
            time.sleep(0.01)
        first.kill()
    assert first.returncode == -signal.SIGKILL
    assert cli.main(words) == cli.DONE
    steps = [row["step"] for row in logging.read(folder / "metrics.jsonl")]
    assert steps == [64 * k for k in range(1, 31)]
    [trial] = study.load(tmp_path / "root").trials
    assert trial.state.name == "COMPLETE" and trial.intermediate_values.keys() <= set(range(1, 101))
    returns = [row["return"] for row in logging.read(folder / "episodes.jsonl")]
    assert trial.value == pytest.approx(sum(returns) / len(returns))
    log = (tmp_path / "root/jobs/trial-0000.log").read_text().splitlines()
    begun = [line for line in log if line.startswith("run ")]
    assert len(begun) == 2 and "from step" in begun[1]
