"""Kills and failures at every file operation: of a run's birth, of saving and rotating."""

import errno
import json
import os
import time

import jax
import numpy as np
import pytest

from rlseq import config
from rlseq.train import build, checkpoint, files, loop, runs
from rlseq.train.files import CannotWrite
from rlseq.types import Ring
from tests.train import faults
from tests.train.fake_job import assert_same_states, make_folder, make_job, placed


@pytest.fixture(scope="module")
def composed():
    return config.compose(["experiment=debug"])


@pytest.fixture(autouse=True)
def no_versions(monkeypatch):
    monkeypatch.setattr(runs, "environment_info", lambda: "started: now\n")


def test_a_kill_at_any_moment_of_its_birth_leaves_a_run_or_nothing_in_the_way(composed, tmp_path):
    root = tmp_path / "root"
    with faults.snapshots(root, tmp_path / "killed") as killed:
        runs.create(placed(composed, root / "run"))
    assert len(killed) >= 7
    for left in killed:
        if (left / "run").exists():
            assert runs.open_run(left / "run").config.env == composed.env
            continue
        made = runs.create(placed(composed, left / "run"))
        assert runs.open_run(made.folder) == made


def test_what_a_birth_left_is_swept_by_the_next_in_the_same_folder(composed, tmp_path):
    root = tmp_path / "root"
    with faults.snapshots(root, tmp_path / "killed") as killed:
        runs.create(placed(composed, root / "run"))
    left = next(path for path in reversed(killed) if not (path / "run").exists())
    [unfinished] = faults.leftovers(left)[:1]
    os.utime(unfinished, (0, time.time() - 3600))
    runs.create(placed(composed, left / "run"))
    assert not faults.leftovers(left)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_birth_that_fails_at_any_operation_leaves_nothing(composed, tmp_path, code):
    root, at = tmp_path / "root", 0
    root.mkdir()
    while True:
        with faults.failing(root, at, code) as count:
            try:
                runs.create(placed(composed, root / "run"))
                break
            except CannotWrite as error:
                assert os.strerror(code).lower()[:12] in str(error) and "\n" not in str(error)
        assert count[0] > at
        for left in root.iterdir():  # nothing could be removed either
            files.remove(left)
        at += 1
    assert at >= 7


def ring_state(step):
    """A small state with a ring, as it is after `step` steps."""
    rng = np.random.default_rng(step)
    rows = np.zeros((1, 8), np.int32)
    for i in range(step):
        rows[0, i % 8] = i + 1
    ring = Ring({"obs": rows}, np.array([step], np.int32))
    return {"ring": ring, "w": rng.normal(size=(40, 5)).astype(np.float32)}


def like():
    return jax.eval_shape(lambda: ring_state(1))


def check_whole(folder, allowed):
    """The newest checkpoint is one of those allowed and right; the next save leaves no trace."""
    checkpoint.sweep(folder)
    step, state = checkpoint.restore(folder, like())
    assert step in allowed
    assert_same_states(ring_state(step), state)
    assert not faults.leftovers(folder)
    checkpoint.save(folder, 9, ring_state(9), keep=1)
    assert checkpoint.steps(folder) == [9]
    named = json.loads((folder / f"{9:012d}" / "index.json").read_text())["rows"]
    assert {path.name for path in (folder / "rows").iterdir()} == {row["file"] for row in named}


def test_a_kill_at_any_moment_of_saving_and_rotating_leaves_a_checkpoint(tmp_path):
    folder = tmp_path / "checkpoints"
    for step in (1, 2):
        checkpoint.save(folder, step, ring_state(step), keep=1)
    with faults.snapshots(folder, tmp_path / "killed") as killed:
        checkpoint.save(folder, 3, ring_state(3), keep=1)
    assert len(killed) > 20
    for left in killed:
        check_whole(left, allowed=(2, 3))


def test_a_kill_while_a_step_is_saved_again_leaves_one_of_both(tmp_path):
    folder = tmp_path / "checkpoints"
    checkpoint.save(folder, 2, ring_state(2))
    with faults.snapshots(folder, tmp_path / "killed") as killed:
        checkpoint.save(folder, 2, ring_state(2))
    for left in killed:
        check_whole(left, allowed=(2,))


def test_a_save_that_fails_at_any_operation_keeps_the_checkpoints_there_were(tmp_path):
    folder, at = tmp_path / "checkpoints", 0
    checkpoint.save(folder, 2, ring_state(2), keep=1)
    while True:
        with faults.failing(folder, at, errno.ENOSPC) as count:
            try:
                checkpoint.save(folder, 3, ring_state(3), keep=1)
            except CannotWrite as error:
                assert "the checkpoint of step 3" in str(error) and "free there" in str(error)
        if count[0] <= at:
            break
        checkpoint.sweep(folder)
        assert checkpoint.restore(folder, like())[0] in (2, 3)
        assert not faults.leftovers(folder)
        files.remove(folder / f"{3:012d}")
        if checkpoint.steps(folder) != [2]:
            checkpoint.save(folder, 2, ring_state(2), keep=1)
        at += 1
    assert at > 15


@pytest.mark.parametrize("reserved", [True, False])
@pytest.mark.parametrize("size", [0, 300, 3000, 12_000])
def test_a_disk_that_fills_at_any_byte_is_one_line(tmp_path, size, reserved, monkeypatch, capfd):
    """`reserved`: the space is reserved before; another process may still take it."""
    folder = tmp_path / "checkpoints"
    checkpoint.save(folder, 2, ring_state(2))
    if not reserved:
        monkeypatch.setattr(files, "reserve", lambda *_: None)
    with (
        faults.file_limit(size),
        pytest.raises(CannotWrite, match=r"step 3 to .*[Ff]ile too large"),
    ):
        checkpoint.save(folder, 3, ring_state(3) | {"more": np.random.default_rng(0).random(5000)})
    assert capfd.readouterr() == ("", "")
    assert not faults.leftovers(folder) and checkpoint.steps(folder) == [2]
    assert len(list((folder / "rows").iterdir())) == 1
    check_whole(folder, allowed=(2,))


@pytest.fixture
def one_program(monkeypatch):
    """Of all fake jobs, compiled once."""
    compiled = build.compile_chunk(make_job(3, checkpoint_every=1, keep=1))
    monkeypatch.setattr(build, "compile_chunk", lambda _: compiled)


def straight_and_killed(tmp_path):
    job, folder = make_job(3, checkpoint_every=1, keep=1), make_folder(tmp_path / "run")
    with faults.snapshots(folder, tmp_path / "killed") as killed:
        return loop.drive(job, folder), folder, killed


def check_resumes(left, straight, folder):
    make_folder(left)
    assert_same_states(straight, loop.drive(make_job(3, checkpoint_every=1, keep=1), left))
    assert not faults.leftovers(left)
    rows = [(folder / "metrics.jsonl").read_text().count("\n"), left / "metrics.jsonl"]
    assert rows[0] == rows[1].read_text().count("\n")


def test_a_run_killed_at_moments_resumes_to_the_same_end(tmp_path, one_program):
    straight, folder, killed = straight_and_killed(tmp_path)
    for left in killed[:: len(killed) // 6]:
        check_resumes(left, straight, folder)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_resumes_to_the_same_end(tmp_path, one_program):
    straight, folder, killed = straight_and_killed(tmp_path)
    for left in killed:
        check_resumes(left, straight, folder)


@pytest.mark.parametrize("size", [0, 400, 700, 5000])
def test_with_room_again_a_run_goes_on_to_the_same_end(tmp_path, one_program, size, capfd):
    straight = loop.drive(make_job(3), make_folder(tmp_path / "straight"))
    folder = make_folder(tmp_path / "full")
    whole = r"the run (is whole up to step|has no checkpoint yet).* rlseq resume"
    with faults.file_limit(size), pytest.raises(CannotWrite, match=whole):
        loop.drive(make_job(3, checkpoint_every=1, keep=1), folder)
    assert not faults.leftovers(folder)
    for path in folder.glob("*.jsonl"):
        assert path.read_bytes().endswith(b"\n") or not path.read_bytes()
    assert_same_states(straight, loop.drive(make_job(3), folder))
    assert "Traceback" not in capfd.readouterr().err
