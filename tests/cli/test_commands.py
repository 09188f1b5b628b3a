"""The commands: exit codes, messages and speed. One small PPO run serves most of them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from logging import getLogger
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq import cli
from rlseq.errors import InputError
from rlseq.train import logging, loop


def run_cli(*arguments: object) -> int:
    return cli.main([str(one) for one in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert run_cli("train", "experiment=debug", f"run.dir={folder}", "seeds=2") == cli.DONE
    return folder


def test_a_run_holds_what_is_promised(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {"config.yaml", "metrics.jsonl", "episodes.jsonl", "checkpoints", "env.txt"}
    rows = logging.read(trained / "metrics.jsonl")
    assert [(row["step"], row["seed"]) for row in rows[:3]] == [(128, 0), (128, 1), (256, 0)]
    assert rows[-1]["step"] == 512 and rows[-1]["steps_per_second"] > 0
    episodes = [row for row in logging.read(trained / "episodes.jsonl") if row["seed"] == 0]
    assert [row["slot"] for row in episodes[:4]] == [0, 1, 2, 3]


def test_eval_ends_with_the_mean(trained, capsys):
    before = len(logging.read(trained / "episodes.jsonl"))
    assert run_cli("eval", trained, "--episodes", 6, "--greedy") == cli.DONE
    last = capsys.readouterr().out.strip().split("\n")[-1]
    # 6 episodes on 4 slots are 2 in each; and there are two seeds.
    assert re.fullmatch(r"mean return -?[\d.]+ ± [\d.e-]+ over 16 episodes", last)
    assert len(logging.read(trained / "episodes.jsonl")) == before + 16
    assert run_cli("eval", trained, "--episodes", 1, "--seed-index", 2) == cli.BAD_INPUT
    assert run_cli("eval", trained, "--checkpoint", 7) == cli.BAD_INPUT
    assert "Known: 256, 512" in capsys.readouterr().err


def test_plot_draws_both_files(trained, tmp_path, capsys):
    assert run_cli("plot", trained, "--out", tmp_path, "--x", "seconds") == cli.DONE
    assert (tmp_path / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    assert "<svg" in (tmp_path / "learning_curve.svg").read_text()
    assert run_cli("plot", trained, "--x", "hours") == cli.BAD_INPUT


def test_export_is_read_by_numpy_alone(trained, tmp_path):
    assert run_cli("export", trained, tmp_path / "weights.npz") == cli.DONE
    described = json.loads((tmp_path / "weights.json").read_text())
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as arrays:
        assert set(arrays) == set(described["arrays"])
        for name, about in described["arrays"].items():
            assert list(arrays[name].shape) == about["shape"] and about["shape"][0] == 2
    assert run_cli("export", trained, tmp_path / "weights.npz") == cli.BAD_INPUT


def test_a_loaded_policy_acts(trained):
    policy = rlseq.load_policy(trained, seed=1)
    env = rlseq.make_env("popgym:RepeatPreviousEasy", num_envs=3)
    _, ts = env.reset(jax.random.key(0))
    carry = policy.init_carry(3)
    carry, action = policy(carry, ts.obs, ts.reset)
    _, sampled = policy(carry, ts.obs, ts.reset, jax.random.key(1))
    assert action.shape == sampled.shape == (3,)
    _, one = policy(None, int(ts.obs[0]))  # a card of the four, as a number
    assert one.shape == () and one == action[0]
    with pytest.raises(InputError, match=r"observations of Discrete\(4\), int32 \[B\]"):
        policy(carry, jnp.zeros((3, 4)))


def test_plan_prints_sizes_and_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_cli("plan", "experiment=debug", "seeds=2", "total_steps=500") == cli.DONE
    said = capsys.readouterr().out
    for what in ("environment steps", "parameters", "state", "compiled memory", "FLOPs", "compile"):
        assert what in said
    assert "asked for 500, rounded up" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "Did you mean 'train'"),
        (["list", "coers"], "Did you mean 'cores'"),
        (["train", "core=s6"], "Did you mean 's5'"),
        (["train", "run.loggers=[tensorbord]"], "Did you mean 'tensorboard'"),
        (["train", "run.mesh=env=7"], "run.mesh: env=7 does not divide 64"),
        (["resume", "nowhere"], "no run folder 'nowhere'"),
        (["plot", "."], "not a run"),
    ],
)
def test_bad_input_exits_2_and_leaves_nothing(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_cli(*arguments) == cli.BAD_INPUT
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_never_trained_into(trained, capsys):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    assert run_cli("train", "experiment=debug", f"run.dir={trained}") == cli.BAD_INPUT
    assert "rlseq resume" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in trained.rglob("*")}


def test_a_loss_that_is_not_finite_exits_1(tmp_path, capsys):
    folder = tmp_path / "run"
    lr = ["core=mlp", "agent.lr=10", "agent.value_coef=1e6", "agent.schedule=constant"]
    assert run_cli("train", "experiment=debug", f"run.dir={folder}", *lr) == cli.FAILED
    assert "not finite" in capsys.readouterr().err


def test_a_sweep_keeps_to_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["experiment=debug", "run.root=here", "seeds=2", "seed=0,2"]
    arguments += ["run.eval_episodes=0", "run.quiet=true"]
    assert run_cli("train", "-m", *arguments) == cli.DONE
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert len(list(tmp_path.glob("here/sweep-*/*/metrics.jsonl"))) == 2
    assert run_cli("train", "-m", "core=gru,lstn", "run.root=here") == cli.BAD_INPUT


def test_warnings_show_in_a_sweep(tmp_path, monkeypatch, caplog, capsys):
    def train(config) -> None:
        getLogger("rlseq").warning("seed %d is unlucky", config.seed)

    monkeypatch.setattr(loop, "train", train)
    words = ["experiment=debug", f"run.root={tmp_path}", "seed=0,2"]
    assert run_cli("train", *words, "-m") == cli.DONE
    assert caplog.messages == ["seed 0 is unlucky", "seed 2 is unlucky"]
    assert [line for line in capsys.readouterr().out.split("\n") if line.startswith("#")] == [
        "#0: experiment=debug seed=0",
        "#1: experiment=debug seed=2",
    ]


@pytest.mark.parametrize(
    ("command", "options", "words"),
    [
        ("train", ["-m"], ["core=gru,s5", "seed=0,1"]),
        ("plan", ["--fit=80GB"], ["core=gru", "seed=1"]),
        (
            "search",
            ["--trials", "3", "--launcher", "joblib"],
            ["core=gru,s5", "hydra.launcher.x=1"],
        ),
        ("atari100k", ["--seeds", "2", "--dry-run"], ["core=gru", "seed=1"]),
    ],
)
def test_words_and_options_stand_in_any_order(command, options, words):
    plain = vars(cli._parsed([command, *options, *words]))
    assert plain["overrides"] == words
    first, second = words
    for arguments in ([*words, *options], [first, *options, second]):
        assert vars(cli._parsed([command, *arguments])) == plain


def test_unknown_options_are_refused(capsys):
    for arguments in (["search", "core=gru,s5", "--trails", "3"], ["list", "cores", "seed=1"]):
        with pytest.raises(SystemExit, match="2"):
            cli.main(arguments)
        assert "unrecognized arguments: " in capsys.readouterr().err


def test_sigterm_saves_exits_130_and_resume_goes_on(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "rlseq", "train", "experiment=debug", "total_steps=1e7"]
    command += ["core=mlp", "agent.schedule=constant", "run.chunks=1000000", f"run.dir={folder}"]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}
    command += ["run.eval_episodes=0", "run.quiet=true"]
    with subprocess.Popen(command, cwd=tmp_path, env=os.environ | cache) as process:
        limit = time.monotonic() + 120
        while not (folder / "metrics.jsonl").exists():
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=60) == cli.INTERRUPTED
    step = logging.read(folder / "metrics.jsonl")[-1]["step"]
    assert run_cli("resume", folder, "--total-steps", step - 1) == cli.BAD_INPUT
    assert run_cli("resume", folder, "--total-steps", step + 64) == cli.DONE
    assert logging.read(folder / "metrics.jsonl")[-1]["step"] == step + 64


_IMPORTED = """
import sys
from rlseq import cli
from rlseq.errors import InputError
cli.main({arguments!r})
print([name for name in ("gymnax", "orbax", "hydra", "matplotlib") if name in sys.modules])
"""


@pytest.mark.parametrize("kind", ["cores", "envs", "experiments", "agents", "world_models"])
def test_list_imports_nothing_heavy(kind, tmp_path):
    script = _IMPORTED.format(arguments=["list", kind])
    said = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,  # in the checkout, `python -c` would import its rlseq, which has no envs
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    assert said[-2] == "[]"
    assert all(re.match(r"[\w:.-]+(  |$)", line) for line in said[:-2]) and len(said) > 2
