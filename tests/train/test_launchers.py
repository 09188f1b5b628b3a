"""Campaigns by Hydra's launchers: what they do with jobs that train nothing, by the basic one.

`tests/train/test_launchers_of_others.py` runs real jobs by joblib, submitit and Ray.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from rlseq import cli
from rlseq.errors import InputError
from rlseq.train.campaign import file, launchers, locks, process, share, state, worker

FAKE = Path(__file__).with_name("fake_campaign_job.py")
NAMES = [f"popgym-RepeatFirstEasy-mlp-ppo-seed{seed}" for seed in range(3)]


@pytest.fixture
def campaign(tmp_path):
    """Three seeds of one environment."""
    path = tmp_path / "mine.yaml"
    lines = "experiment: debug\nenv.id: popgym:RepeatFirstEasy\ncore: mlp\nseeds: 3\n"
    path.write_text(f"{lines}root: {tmp_path / 'root'}\n")
    return path


def fake(monkeypatch, **does: str) -> None:
    monkeypatch.setattr(process, "COMMAND", (sys.executable, str(FAKE), json.dumps(does)))
    monkeypatch.setattr(worker, "_TICK", 0.01)
    monkeypatch.setattr(worker, "_LOOK", 0.01)
    monkeypatch.setattr(launchers, "_TICK", 0.01)


def starts(entries) -> list[str]:
    path = entries[0].file("lock").parent / "starts.jsonl"
    return [json.loads(line)["name"] for line in path.read_text().splitlines()]


def test_a_launcher_runs_what_is_missing_and_says_what_failed(campaign, monkeypatch, capsys):
    entries = file.read(campaign).entries
    fake(monkeypatch, **{NAMES[0]: "fail", NAMES[1]: "kill"})
    command = ["campaign", str(campaign), "--launcher", "basic"]
    assert cli.main(command) == cli.FAILED
    told = capsys.readouterr().err
    assert f"{NAMES[0]}: the loss is not finite" in told and f"{NAMES[1]}: killed by SIG" in told
    assert f"2 of 3 jobs failed; to try them again: rlseq {' '.join(command)}" in told
    assert starts(entries) == NAMES
    fake(monkeypatch)
    taken = locks.take(entries[1].file("lock"))
    assert cli.main(command) == cli.DONE
    assert f"{NAMES[1]}: another process runs it, left out" in capsys.readouterr().out
    assert starts(entries) == [*NAMES, NAMES[0], NAMES[2]]
    assert taken
    taken.close()
    failures = [state.failure(entry) for entry in entries]
    assert failures == ["", "killed by SIGKILL, as the system does when memory runs out", ""]
    assert not list((entries[0].file("lock").parent).glob("launch-*"))


def test_files_that_this_process_logs_to_stay_open(campaign, tmp_path, monkeypatch):
    fake(monkeypatch)
    handler = logging.FileHandler(tmp_path / "own.log")
    assert cli.main(["campaign", str(campaign), "--launcher", "basic"]) == cli.DONE
    assert handler.stream is not None and not handler.stream.closed
    handler.close()


def test_a_signal_reaches_the_jobs_of_a_launcher(campaign, monkeypatch, capsys):
    entries = file.read(campaign).entries
    fake(monkeypatch, **dict.fromkeys(NAMES, "wait"))

    def interrupt() -> None:
        log = entries[0].file("lock").parent / "starts.jsonl"
        while not log.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    assert cli.main(["campaign", str(campaign), "--launcher", "basic"]) == cli.INTERRUPTED
    thread.join()
    told = capsys.readouterr()
    assert "continue with: rlseq campaign" in told.err and "after the chunks in flight" in told.out
    assert starts(entries) == NAMES[:1] and not locks.held(entries[0].file("lock"))
    assert [state.failure(entry) for entry in entries] == [""] * 3


def test_a_worker_whose_command_has_died_runs_nothing(tmp_path):
    alone = worker.Task([tmp_path / "job.yaml"], [], tmp_path, 2)
    with alone._slot() as (slot, held):
        assert slot is None and held == []  # no process has locked `alive`
    with locks.take(tmp_path / worker.ALIVE) or pytest.fail("nobody has it"):
        with alone._slot() as (first, _), alone._slot() as (second, _):
            assert first and second and (first.number, second.number) == (0, 1)
        (tmp_path / worker.STOP).touch()
        with alone._slot() as (slot, _):
            assert slot is None
    elsewhere = worker.Task([tmp_path / "job.yaml"], [], tmp_path / "other", None)
    with elsewhere._slot() as (slot, held):  # on a machine of its own nothing is divided
        assert slot == share.Slot(0, (), {}) and held == []


def test_unknown_launchers_and_settings_are_bad_input(campaign, tmp_path, monkeypatch, capsys):
    command = ["campaign", str(campaign), "--launcher"]
    for words, message in (
        (["jobli"], "unknown launcher 'jobli'. Did you mean 'joblib'"),
        (["basic", "hydra.launcher.jobs=2"], "launcher 'basic': "),
        (["basic", "agent.lr=2"], "read hydra.launcher.KEY=VALUE, got agent.lr=2"),
    ):
        assert cli.main([*command, *words]) == cli.BAD_INPUT
        assert message in capsys.readouterr().err
    # What names the file may stand behind; argparse alone takes the first word for it.
    for words, message in (
        (["hydra.launcher.jobs=2", str(campaign)], "launcher 'basic': "),
        (["hydra.launcher.jobs=2"], "needs a YAML file"),
    ):
        assert cli.main(["campaign", *words, "--launcher", "basic"]) == cli.BAD_INPUT
        assert message in capsys.readouterr().err
    monkeypatch.setattr(launchers, "_installed", lambda module: False)
    for name, (extra, package, _) in launchers.EXTRAS.items():
        with pytest.raises(InputError, match=rf"needs the package {package}: .*rlseq\[{extra}\]"):
            launchers.find(name, [])
    words = ["train", "-m", "experiment=debug", "seed=0,1", "hydra/launcher=joblib"]
    assert cli.main(words) == cli.BAD_INPUT
    assert "pip install 'rlseq[joblib]'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_jobs_at_a_time_are_those_of_the_launcher(monkeypatch):
    monkeypatch.setattr(share, "count", lambda: 8)

    def asked(name, **values):
        return launchers.Launcher(name, [], OmegaConf.create(values))

    assert launchers.at_a_time(asked("basic"), 5) == 1
    assert [launchers.at_a_time(asked("joblib", n_jobs=n), 9) for n in (3, -1, -2)] == [3, 8, 7]
    assert launchers.at_a_time(asked("submitit_local", cpus_per_task=None), 20) == 8
    assert launchers.at_a_time(asked("submitit_local", cpus_per_task=3), 20) == 2
    assert launchers.at_a_time(asked("submitit_slurm", cpus_per_task=3), 20) is None
    ray = {"init": {"num_cpus": 4}, "remote": {"num_cpus": 2}}
    assert launchers.at_a_time(asked("ray", ray=ray), 20) == 2
    ray["init"]["address"] = "auto"
    assert launchers.at_a_time(asked("ray", ray=ray), 20) is None
