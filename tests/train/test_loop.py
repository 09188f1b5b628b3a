"""The host loop on a fake agent: resuming is exact, whatever ended the run before."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from rlseq.errors import InputError
from rlseq.train import build, checkpoint, logging, loop, runs
from tests.script import command
from tests.train.fake_job import assert_same_states, make_folder, make_job


def stop_after(monkeypatch, chunks: int) -> loop.Stop:
    """A Stop that is requested once `chunks` chunks are logged."""
    stop, written, plain = loop.Stop(), [], logging.Logs.metrics

    def counting(self, rows):
        plain(self, rows)
        written.append(rows)
        stop.requested = len(written) >= chunks

    monkeypatch.setattr(logging.Logs, "metrics", counting)
    return stop


def test_resuming_equals_never_stopping(tmp_path, monkeypatch):
    straight = loop.drive(make_job(6), make_folder(tmp_path / "straight"))
    halted = make_folder(tmp_path / "halted")
    with pytest.raises(loop.Interrupted, match="rlseq resume"):
        loop.drive(make_job(6), halted, stop_after(monkeypatch, 3))
    assert checkpoint.steps(halted / "checkpoints")[-1] == 3 * 2 * 32
    assert_same_states(straight, loop.drive(make_job(6), halted))
    one, two = (logging.read(f / "metrics.jsonl") for f in (tmp_path / "straight", halted))
    for row in [*one, *two]:
        del row["seconds"], row["steps_per_second"]
    assert one == two and [row["seed"] for row in one[:2]] == [5, 6]


def test_a_seed_among_many_equals_that_seed_alone(tmp_path):
    many = loop.drive(make_job(2, seeds=3), make_folder(tmp_path / "many"))
    job = make_job(2, seeds=1)
    job.config.seed = 6
    alone = loop.drive(job, make_folder(tmp_path / "alone"))
    assert (many.weights["w"][1] == alone.weights["w"][0]).all()


def test_a_finished_run_is_left_as_it_is(tmp_path):
    folder = make_folder(tmp_path / "run")
    state = loop.drive(make_job(2), folder)
    before = (folder / "metrics.jsonl").read_bytes()
    assert_same_states(state, loop.drive(make_job(2), folder))
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    folder = make_folder(tmp_path / "run")
    with pytest.raises(loop.NonFinite, match=r"step 448 \(seed 5, 6\).*of step 384 is kept"):
        loop.drive(make_job(20, breaks_at=14), folder)
    step, _ = checkpoint.restore(folder / "checkpoints", build.abstract_state(make_job(20)))
    assert step == 384
    assert logging.read(folder / "metrics.jsonl")[-1]["loss/policy"] is None


def test_another_configuration_is_refused(tmp_path):
    folder = make_folder(tmp_path / "run")
    loop.drive(make_job(2, seeds=2), folder)
    with pytest.raises(InputError, match="another configuration: key is"):
        loop.drive(make_job(4, seeds=3), folder)


def test_two_processes_never_share_a_folder(tmp_path):
    folder = make_folder(tmp_path / "run")
    with runs.locked(folder), pytest.raises(InputError, match="another process"):
        loop.drive(make_job(2), folder)


def start(folder: Path, chunks: int) -> subprocess.Popen:
    words = command("tests.train.fake_job", folder, chunks)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "starting\n"
    return process


def wait_for_metrics(folder: Path, size: int = 0) -> None:
    path, limit = folder / "metrics.jsonl", time.monotonic() + 60
    while not path.exists() or path.stat().st_size <= size:
        assert time.monotonic() < limit, "nothing was written"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_exits_130(tmp_path, number):
    folder = tmp_path / "run"
    with start(folder, 10**6) as process:
        try:
            wait_for_metrics(folder)
            process.send_signal(number)
            if number == signal.SIGHUP:  # a terminal that closes sends several
                process.send_signal(number)
            assert process.wait(timeout=60) == 130
        finally:
            process.kill()  # `with` would wait for all its chunks
    last = logging.read(folder / "metrics.jsonl")[-1]["step"]
    assert checkpoint.steps(folder / "checkpoints")[-1] == last


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with loop.Stop() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_killed_at_random_moments_it_still_ends_where_it_should(tmp_path):
    chance, chunks, folder = random.Random(1), 60, tmp_path / "killed"
    for _ in range(3):
        with start(folder, chunks) as process:
            # Resuming cuts the file back first: any growth means that chunks are being trained.
            wait_for_metrics(folder)
            time.sleep(chance.uniform(0, 0.4))
            os.kill(process.pid, signal.SIGKILL)
    killed = loop.drive(make_job(chunks), folder)
    assert_same_states(loop.drive(make_job(chunks), make_folder(tmp_path / "straight")), killed)
    steps = [row["step"] for row in logging.read(folder / "metrics.jsonl")]
    assert steps == sorted(steps) and len(steps) == 2 * chunks
