"""Real jobs by the launchers of other packages, on this machine.

Their packages are no part of the extra `test`: .ci/run has a step for them. Ray's test is slow.
"""

import jax
import pytest

from rlseq import cli
from rlseq.train import logging, runs
from rlseq.train.campaign import file, state
from rlseq.train.search import study

SHORT = ["core=mlp", "total_steps=128", "run.chunks=2", "run.eval_episodes=1"]
LOCAL = {
    "joblib": ["hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=10"],
    "ray": [
        f"hydra.launcher.ray.init.{word}" for word in ("num_cpus=2", "include_dashboard=false")
    ],
}
MODULES = {"joblib": "joblib", "submitit_local": "submitit", "ray": "ray"}
# Between these packages and Python.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore:os.fork:RuntimeWarning",  # Ray's, which then starts another program
)
SLOW_RAY = [pytest.param(name, marks=[pytest.mark.slow] if name == "ray" else []) for name in LOCAL]


@pytest.fixture(autouse=True)
def cache(monkeypatch):
    """Jobs are processes of their own, which compile once together."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))


@pytest.mark.parametrize("name", SLOW_RAY)
def test_a_sweep_by_a_launcher(name, tmp_path, monkeypatch):
    pytest.importorskip(MODULES[name])
    monkeypatch.chdir(tmp_path)
    module = f"mine_{name}"  # a process knows one of a name
    (tmp_path / f"{module}.py").write_text(
        "from rlseq.train.trackers import TensorBoard\n\n\nclass Mine(TensorBoard):\n    pass\n"
    )
    words = ["experiment=debug", *SHORT, "seed=0,3", "run.root=here"]
    words += [f"run.loggers=[{module}:Mine]", f"hydra/launcher={name}", *LOCAL[name]]
    assert cli.main(["train", "-m", *words]) == cli.DONE
    [sweep] = (tmp_path / "here").iterdir()
    folders = sorted(path for path in sweep.iterdir() if path.name != "jobs")
    assert [path.name for path in folders] == [
        f"popgym-RepeatPreviousEasy-mlp-ppo-{number}" for number in (0, 1)
    ]
    assert all(list(folder.glob("tensorboard/*")) for folder in folders)  # the plug-in's own work
    monkeypatch.setattr("rlseq.plugins._allowed", {str(tmp_path / f"{module}.py")})
    assert [runs.open_run(folder).config.seed for folder in folders] == [0, 3]
    assert not list(sweep.glob("jobs/*.failed"))


def test_a_campaign_by_joblib_runs_what_is_missing(tmp_path, capsys):
    pytest.importorskip("joblib")
    path = tmp_path / "mine.yaml"
    lines = ["experiment: debug", "core: mlp", f"root: {tmp_path / 'root'}", "seeds: 1"]
    overrides = ", ".join([*SHORT[1:], "agent.lr=1e-3"])
    path.write_text("\n".join([*lines, f"overrides: [{overrides}]"]))
    [entry] = file.read(path).entries
    entry.folder.mkdir(parents=True)
    (entry.folder / "thesis.tex").write_text("in the way")
    command = ["campaign", str(path), "--launcher", "joblib", *LOCAL["joblib"]]
    assert cli.main(command) == cli.BAD_INPUT  # no run is there, and nothing is started
    assert "is not a run" in capsys.readouterr().err and not entry.file("log").exists()
    (entry.folder / "thesis.tex").unlink()
    assert cli.main(command) == cli.DONE
    assert state.state(entry).kind == state.DONE
    before = entry.file("log").stat().st_mtime_ns
    assert cli.main(command) == cli.DONE
    assert entry.file("log").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "joblib")) for name in LOCAL]
)
def test_a_search_by_a_launcher(name, tmp_path):
    pytest.importorskip(MODULES[name])
    pytest.importorskip("optuna")
    root = tmp_path / "root"
    words = ["experiment=debug", *SHORT, "--trials", "2", "agent.lr=1e-4,1e-3"]
    assert cli.main(["search", *words, "--root", str(root), "--launcher", name, *LOCAL[name]]) == 0
    trials = study.load(root).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    for number, trial in enumerate(trials):
        run = runs.open_run(root / f"trial-{number:04d}")
        assert run.config.agent["lr"] == float(trial.params["agent.lr"])
        [row] = logging.read(run.folder / logging.EPISODES)
        assert trial.value == row["return"]
