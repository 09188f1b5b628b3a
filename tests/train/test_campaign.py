"""Campaigns: the file, the jobs and their states, and a runner around jobs that train nothing.

`tests/train/test_games.py` runs and kills real ones.
"""

import copy
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from rlseq import cli
from rlseq.errors import InputError
from rlseq.train import logging, runs
from rlseq.train.campaign import file, locks, plan, process, progress, runner, share, state
from tests.packaging.tree import ROOT

FAKE = Path(__file__).with_name("fake_campaign_job.py")
MLP, GRU = "popgym-RepeatFirstEasy-mlp-ppo-seed", "popgym-RepeatFirstEasy-gru-layers=2-ppo-seed"
HEAD = "experiment: debug\nenv.id: popgym:RepeatFirstEasy\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(f"{HEAD}root: {folder / 'root'}\n{text}")
    return path


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Two cores and two seeds of one environment."""
    text = "core: [mlp, {name: gru, layers: 2}]\nseeds: 2\noverrides: [agent.lr=1e-3, seed=3]\n"
    return written(tmp_path_factory.mktemp("campaign"), text)


def fake(monkeypatch, **does: str) -> None:
    command = (sys.executable, str(FAKE), json.dumps(does))
    monkeypatch.setattr(process, "COMMAND", command)
    monkeypatch.setattr(runner, "_TICK", 0.01)


@pytest.fixture(scope="module")
def found(campaign):
    return file.read(campaign)


@pytest.fixture
def entries(found, tmp_path):
    """The four jobs, in a root of their own."""
    moved = copy.deepcopy(found.entries)
    return [entry._replace(folder=tmp_path / entry.folder.name) for entry in moved]


def starts(entries) -> list[dict]:
    path = entries[0].file("lock").parent / "starts.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_jobs_are_the_first_seed_of_everything_and_then_the_next(campaign, found):
    assert [str(entry) for entry in found.entries] == [f"{MLP}3", f"{GRU}3", f"{MLP}4", f"{GRU}4"]
    assert found.root == campaign.parent / "root"
    one = found.entries[3]
    assert one.folder == found.root / f"{GRU}4" and one.config.run.dir == str(one.folder)
    assert (one.config.core["name"], one.config.core["layers"]) == ("gru", 2)
    assert (one.config.seed, one.config.seeds, one.config.agent["lr"]) == (4, 1, 1e-3)
    assert one.config.run.checkpoint_every == 1  # a kill costs one chunk


def test_patterns_stand_for_environments():
    assert plan.matching(["memory:TMaze", "popgym:RepeatFirst*"]) == [
        "memory:TMaze",
        *(f"popgym:RepeatFirst{level}" for level in ("Easy", "Medium", "Hard")),
    ]
    with pytest.raises(InputError, match="no environment matches 'popgim:\\*'"):
        plan.matching(["popgim:*"])
    with pytest.raises(InputError, match="Did you mean"):
        plan.matching(["popgym:RepeatFrstEasy"])


def test_the_file_of_the_docs_is_a_campaign(tmp_path):
    page = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    [text] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "memory.yaml"
    path.write_text(text)
    found = file.read(path)
    assert len(found.entries) == 2 * 3 * 3 and found.root == Path("runs/memory")
    first = found.entries[0]
    assert first.config.env.id == "popgym:RepeatPreviousEasy" and first.config.seed == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 3", "unknown key in .*mine.yaml: 'seed'. Did you mean 'seeds'"),
        ("seeds: 0", "seeds must be a whole number from 1 to 4096 or a list"),
        ("seeds: [1, true]", "seeds must be"),
        ("seeds: [-1]", "seeds are whole numbers from 0"),
        ("seeds: [2, 2]", "two jobs of the campaign are called"),
        ("core: [mlpp]", "unknown core 'mlpp'. Did you mean 'mlp'"),
        ("core: [{layers: 2}]", "core: name must be a text"),
        ("core: [{name: mlp, layer: 2}]", "Did you mean 'core.layers'"),
        ("overrides: [core=gru]", "core is set by `core:` here"),
        ("overrides: [run.dir=x]", "run.dir is set by `root:` here"),
        ("seeds: [1]\noverrides: [seed=1]", "seed is set by `seeds:` here"),
        ("overrides: 3", "overrides must be a text or a list of texts, got 3"),
    ],
)
def test_a_fault_in_the_file_is_found_before_anything_starts(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        file.read(written(tmp_path, text))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_job_that_fails_does_not_stop_the_others(campaign, found, monkeypatch, capsys):
    fake(monkeypatch, **{f"{MLP}3": "fail", f"{MLP}4": "kill"})
    command = ["campaign", str(campaign), "--jobs", "3"]
    assert cli.main(command) == cli.FAILED
    told = capsys.readouterr().err
    assert f"{MLP}3: the loss is not finite" in told and f"{MLP}4: killed by SIGKILL" in told
    assert "2 of 4 jobs failed; to try them again: rlseq campaign" in told
    assert cli.main([*command, "--status"]) == cli.DONE
    table = capsys.readouterr().out
    assert "4 jobs: 2 missing, 2 failed" in table and "the loss is not finite" in table
    fake(monkeypatch)
    assert cli.main(["campaign", str(campaign)]) == cli.DONE
    order = [start["name"] for start in starts(found.entries)][4:]
    assert order == [f"{GRU}3", f"{GRU}4", f"{MLP}3", f"{MLP}4"]  # what failed before comes last
    assert [state.failure(entry) for entry in found.entries] == [""] * 4


def test_jobs_are_told_their_cores_before_they_start(entries, monkeypatch):
    [cpu, *_] = sorted(os.sched_getaffinity(0))
    monkeypatch.setattr(share, "_cpus", lambda: [cpu])
    before = os.sched_getaffinity(0)
    fake(monkeypatch)
    assert runner.run(entries, 2, "again") == []
    assert [(start["cpus"], start["threads"]) for start in starts(entries)] == [([cpu], "1")] * 4
    assert os.sched_getaffinity(0) == before


def test_the_machine_is_divided_by_the_number_of_jobs(monkeypatch):
    for name in (*share._POOLS, "CUDA_VISIBLE_DEVICES", share._MEMORY, share._OLD_MEMORY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(share, "_cpus", lambda: list(range(8)))
    assert share.slots(1) == [share.Slot(0, (), {})]
    three = share.slots(3)
    assert [slot.cpus for slot in three] == [(0, 1), (2, 3, 4), (5, 6, 7)]
    assert [slot.variables["NPROC"] for slot in three] == ["2", "3", "3"]
    assert [slot.cpus for slot in share.slots(9)][7:] == [(7,), (0,)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert [s.variables["CUDA_VISIBLE_DEVICES"] for s in share.slots(3)] == ["4", "6", "4"]
    assert share.slots(3)[0].variables["XLA_CLIENT_MEM_FRACTION"] == "0.375"
    assert "XLA_CLIENT_MEM_FRACTION" not in share.slots(2)[0].variables
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.2")  # JAX refuses both at once
    assert "XLA_CLIENT_MEM_FRACTION" not in share.slots(3)[0].variables


def test_ctrl_c_stops_all_jobs_and_says_how_to_go_on(campaign, found, monkeypatch, capsys):
    entries = found.entries
    before = len(starts(entries)) if entries[0].file("lock").exists() else 0
    fake(monkeypatch, **{f"{name}{seed}": "wait" for name in (MLP, GRU) for seed in (3, 4)})

    def interrupt() -> None:
        while not entries[0].file("lock").exists() or len(starts(entries)) < before + 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code = cli.main(["campaign", str(campaign), "--jobs", "2"])
    thread.join()
    assert code == cli.INTERRUPTED and len(starts(entries)) == before + 2
    assert "continue with: rlseq campaign" in capsys.readouterr().err
    assert not any(locks.held(entry.file("lock")) for entry in entries)
    assert [state.failure(entry) for entry in entries] == [""] * 4


def test_the_lock_of_a_job_outlives_neither_of_its_processes(entries):
    lock = entries[0].file("lock")
    lock.parent.mkdir()
    hold = (
        "import sys, time; from pathlib import Path; from rlseq.train.campaign import locks;"
        f"lock = locks.take(Path({str(lock)!r})); print(lock is not None, flush=True);"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as owner:
        assert owner.stdout and owner.stdout.readline() == b"True\n"
        assert locks.take(lock) is None and locks.held(lock)
        assert state.state(entries[0]).kind == state.RUNNING
        owner.kill()
        owner.wait()
    assert not locks.held(lock)
    with locks.take(lock) or pytest.fail("a dead owner has it"):
        assert locks.held(lock)


def test_what_another_campaign_ran_and_saw_fail_is_not_tried_again(entries, monkeypatch):
    fake(monkeypatch)
    monkeypatch.setattr(runner, "_LOCKED", 0.01)
    lock = entries[0].file("lock")
    lock.parent.mkdir()
    taken = locks.take(lock)

    def fail() -> None:
        while len(starts(entries)) < 3:
            time.sleep(0.01)
        process.note_failure(entries[0].file("yaml"), "it failed there")
        assert taken
        taken.close()

    (lock.parent / "starts.jsonl").touch()
    thread = threading.Thread(target=fail)
    thread.start()
    failed = runner.run(entries, 1, "again")
    thread.join()
    assert failed == [f"{MLP}3: it failed there"] and len(starts(entries)) == 3


def test_the_time_left_goes_by_the_most_similar_jobs(entries, monkeypatch):
    monkeypatch.setattr(runs, "environment_info", lambda: "started: now\n")
    for entry, seconds in zip(entries[:2], (10.0, 40.0), strict=True):
        entry.config.run.dir = str(entry.folder)
        runs.create(entry.config)
        row = {"step": 128, "seed": 3, "seconds": seconds, "return": 0.5}
        logging.append(entry.folder / logging.METRICS, [row])
    lines = progress.Progress(entries).lines()
    assert [line.state.kind for line in lines] == ["unfinished"] * 2 + ["missing"] * 2
    assert [line.seconds_left for line in lines] == [30.0, 120.0, None, None]
    # 512 steps: 40 s with mlp and 160 s with gru, of which a quarter is done in one seed each.
    assert progress.seconds_left(lines, 1) == 30 + 120 + 40 + 160
    assert progress.seconds_left(lines, 4) == 160  # one job is not divided
    assert progress.seconds_left(lines[2:], 1) is None
    assert "2 unfinished, 2 missing, about 3 min left, 2 at a time" in progress.summary(lines, 2)


def test_a_terminal_shows_the_jobs_that_run(entries, monkeypatch):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    monkeypatch.setattr(progress, "_console", lambda: console)
    monkeypatch.setattr(progress, "_REFRESH", 0.0)
    entries[1].file("lock").parent.mkdir()
    lock = locks.take(entries[1].file("lock"))
    with progress.Board(progress.Progress(entries), 2) as board:
        board.refresh()
    assert f"{GRU}3" in out.getvalue() and f"{MLP}3" not in out.getvalue()
    assert "4 jobs: 1 running, 3 missing, about ? left" in out.getvalue()
    assert lock
    lock.close()


def test_a_folder_of_something_else_is_never_removed(entries):
    entries[0].folder.mkdir()
    (entries[0].folder / "thesis.tex").write_text("kept")
    with pytest.raises(InputError, match="is not a run"):
        runner.run(entries, 1, "again")
    assert (entries[0].folder / "thesis.tex").read_text() == "kept"
    assert not entries[0].file("lock").exists()
