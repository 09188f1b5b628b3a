"""Games and seeds in turn: the plan, what is skipped, resumed and refused, and a kill midway."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from rlseq import cli
from rlseq.envs.atari import GAMES
from rlseq.errors import InputError
from rlseq.train import checkpoint, logging, loop, runs, suite

GAME = "RepeatPreviousEasy"
TINY = ["core=mlp", "total_steps=768", "run.chunks=12", "run.checkpoint_every=4", "run.quiet=true"]


def command(root: Path, *more: str) -> list[str]:
    arguments = ["atari100k", "--experiment", "debug", "--games", GAME, "--root", str(root)]
    return [*arguments, *more, *TINY]


def test_the_plan_is_every_game_for_each_seed(tmp_path):
    entries = suite.plan("debug", ["RepeatFirstEasy", "minatar:Breakout"], 2, None, ["seed=3"])
    assert [(entry.config.env.id, entry.config.seed) for entry in entries] == [
        ("popgym:RepeatFirstEasy", 3),
        ("minatar:Breakout", 3),
        ("popgym:RepeatFirstEasy", 4),
        ("minatar:Breakout", 4),
    ]
    assert entries[1].folder == Path("runs/debug-s5/minatar-Breakout-seed3")
    assert all(entry.config.run.dir == str(entry.folder) for entry in entries)


def test_all_is_the_whole_benchmark():
    assert suite.env_ids_of(["all"], "atari") == [f"atari:{game}" for game in GAMES]
    assert len(suite.env_ids_of(["all"], "minatar")) == 5
    for games, family, message in (
        (["all"], "popgym", "not for popgym"),
        (["Boxin"], "atari", "Did you mean 'atari:Boxing'"),
    ):
        with pytest.raises(InputError, match=message):
            suite.env_ids_of(games, family)


@pytest.mark.parametrize("override", ["env.id=atari:Pong", "seeds=2", "run.dir=x", "run.root=x"])
def test_keys_that_options_set_are_refused(override):
    with pytest.raises(InputError, match="is set by --"):
        suite.plan("debug", [GAME], 1, None, [override])


def test_a_killed_suite_goes_on_and_reports(tmp_path, capsys):
    cache = {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}
    words = [sys.executable, "-m", "rlseq", *command(tmp_path)]
    checkpoints = tmp_path / f"popgym-{GAME}-seed0" / "checkpoints"
    with subprocess.Popen(words, cwd=tmp_path, env=os.environ | cache) as process:
        limit = time.monotonic() + 240
        while not (checkpoints.is_dir() and checkpoint.steps(checkpoints)):
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    half_made = tmp_path / f"popgym-{GAME}-seed1"  # as a kill leaves it right at the start
    (half_made / "checkpoints").mkdir(parents=True)
    assert cli.main(command(tmp_path, "--seeds", "2", "--dry-run")) == cli.DONE
    first, second = capsys.readouterr().out.splitlines()
    assert "started, at step" in first and second.endswith("to run")
    assert cli.main(command(tmp_path, "--seeds", "2")) == cli.DONE
    assert "report on 2 of 2 runs" in capsys.readouterr().out
    for seed in (0, 1):
        rows = logging.read(tmp_path / f"popgym-{GAME}-seed{seed}" / logging.METRICS)
        assert [row["step"] for row in rows] == [64 * k for k in range(1, 13)]
    _assert_nothing_is_run_again(tmp_path, capsys)


def _assert_nothing_is_run_again(root, capsys):
    before = {path: path.stat().st_mtime_ns for path in root.glob("popgym-*/**/*")}
    assert cli.main(command(root, "--seeds", "2")) == cli.DONE
    assert capsys.readouterr().out.count(": complete") == 2
    assert before == {path: path.stat().st_mtime_ns for path in root.glob("popgym-*/**/*")}
    assert cli.main([*command(root), "agent.lr=0.5"]) == cli.BAD_INPUT
    assert "another configuration: agent.lr is" in capsys.readouterr().err


def test_one_that_fails_or_is_busy_does_not_stop_the_others(tmp_path, monkeypatch):
    entries = suite.plan("debug", [GAME], 3, tmp_path)
    seen, said = [], []

    def train(config):
        seen.append(config.seed)
        if config.seed == 0:
            raise loop.NonFinite("the loss is not finite")
        if config.seed == 1:
            raise runs.Busy("another process")

    monkeypatch.setattr(loop, "train", train)
    assert suite.run_all(entries, said.append) == [f"popgym:{GAME}, seed 0: the loss is not finite"]
    assert seen == [0, 1, 2] and "skipped: another process" in said


def test_a_folder_of_something_else_is_never_removed(tmp_path):
    [entry] = suite.plan("debug", [GAME], 1, tmp_path)
    entry.folder.mkdir()
    (entry.folder / "thesis.tex").write_text("kept")
    with pytest.raises(InputError, match="is not a run"):
        suite.run_all([entry], print)
    assert (entry.folder / "thesis.tex").read_text() == "kept"
