"""Games and seeds: the plan, what is refused, and real jobs of two campaigns, one killed."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import pytest

from rlseq import cli
from rlseq.envs.atari import GAMES
from rlseq.errors import InputError
from rlseq.train import checkpoint, logging
from rlseq.train.campaign import games, locks, progress

GAME = "RepeatPreviousEasy"
TINY = ["core=mlp", "total_steps=1920", "run.chunks=30", "run.checkpoint_every=1"]


def command(root: Path, *more: str) -> list[str]:
    arguments = ["atari100k", "--experiment", "debug", "--games", GAME, "--root", str(root)]
    return [*arguments, *more, *TINY]


def test_the_plan_is_every_game_for_each_seed(tmp_path):
    entries = games.entries("debug", ["RepeatFirstEasy", "minatar:Breakout"], 2, None, ["seed=3"])
    assert [(entry.config.env.id, entry.config.seed) for entry in entries] == [
        ("popgym:RepeatFirstEasy", 3),
        ("minatar:Breakout", 3),
        ("popgym:RepeatFirstEasy", 4),
        ("minatar:Breakout", 4),
    ]
    assert entries[1].folder == Path("runs/debug-s5/minatar-Breakout-seed3")
    assert all(entry.config.run.dir == str(entry.folder) for entry in entries)


def test_all_is_the_whole_benchmark():
    assert games.env_ids_of(["all"], "atari") == [f"atari:{game}" for game in GAMES]
    assert len(games.env_ids_of(["all"], "minatar")) == 5
    for names, family, message in (
        (["all"], "popgym", "not for popgym"),
        (["Boxin"], "atari", "Did you mean 'atari:Boxing'"),
    ):
        with pytest.raises(InputError, match=message):
            games.env_ids_of(names, family)


@pytest.mark.parametrize("override", ["env.id=atari:Pong", "seeds=2", "run.dir=x", "run.root=x"])
def test_keys_that_options_set_are_refused(override):
    with pytest.raises(InputError, match="is set by --"):
        games.entries("debug", [GAME], 1, None, [override])


def test_two_campaigns_share_a_root_and_one_goes_on_where_the_other_is_killed(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(jax.config.jax_compilation_cache_dir))
    words = [sys.executable, "-m", "rlseq", *command(tmp_path, "--seeds", "1")]
    [entry] = games.entries("debug", [GAME], 1, tmp_path, TINY)
    waits = threading.Event()
    monkeypatch.setattr(progress.Board, "say", lambda _, text: "another" in text and waits.set())
    with subprocess.Popen(words, cwd=tmp_path) as first:

        def kill() -> None:
            """Once its job trains and this process has found it."""
            waits.wait()
            while not (entry.folder.is_dir() and checkpoint.steps(entry.folder / "checkpoints")):
                time.sleep(0.01)
            first.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        wait_for(lambda: locks.held(entry.file("lock")), first)
        assert cli.main(command(tmp_path, "--seeds", "1")) == cli.DONE
        killer.join()
    assert first.returncode == -signal.SIGKILL
    steps = [row["step"] for row in logging.read(entry.folder / logging.METRICS)]
    assert steps == [64 * k for k in range(1, 31)]
    log = entry.file("log").read_text().splitlines()
    begun = [line for line in log if line.startswith("run ")]
    assert len(begun) == 2 and "from step" in begun[1]
    # The job ended with its campaign, after the chunk it was in: nothing of it is lost.
    saved = next(line for line in log if "interrupted at step" in line)
    assert saved.split("at step ")[1].split(",")[0] in begun[1]
    assert "report on 1 of 1 runs" in capsys.readouterr().out
    monkeypatch.undo()
    _assert_nothing_is_run_again(tmp_path, capsys)


def wait_for(condition, process) -> None:
    limit = time.monotonic() + 240
    while not condition():
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.01)


def _assert_nothing_is_run_again(root, capsys):
    before = {path: path.stat().st_mtime_ns for path in root.glob("popgym-*/**/*")}
    assert cli.main(command(root, "--seeds", "1")) == cli.DONE
    assert "1 job: 1 done" in capsys.readouterr().out
    half_made = root / f"popgym-{GAME}-seed1"  # as a kill leaves it right at the start
    (half_made / "checkpoints").mkdir(parents=True)
    assert cli.main(command(root, "--seeds", "2", "--dry-run")) == cli.DONE
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("  done") and second.endswith("  missing")
    assert before == {path: path.stat().st_mtime_ns for path in root.glob("popgym-*seed0/**/*")}
    assert cli.main([*command(root), "agent.lr=0.5"]) == cli.BAD_INPUT
    assert "another configuration: agent.lr is" in capsys.readouterr().err
