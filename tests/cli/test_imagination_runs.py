"""A run with a replay stops, resumes and goes on bit for bit, and a kill leaves it whole."""

import pytest

from rlseq import config
from rlseq.train import build, checkpoint, logging, loop, runs
from tests.train.fake_job import assert_same_states, placed

OVERRIDES = ["experiment=drama_debug", "seeds=2", "run.eval_episodes=0", "run.quiet=true"]


def test_imagination_resumes_bit_for_bit(tmp_path, monkeypatch):
    composed = config.compose(OVERRIDES)
    job = build.build(composed)
    compiled = build.compile_chunk(job)
    monkeypatch.setattr(build, "compile_chunk", lambda _: compiled)  # compiling is the slow part
    straight = loop.drive(job, runs.create(placed(composed, tmp_path / "straight")).folder)
    halted = runs.create(placed(composed, tmp_path / "halted")).folder
    stop, said = loop.Stop(), []

    def after_three(*_):
        said.append(None)
        stop.requested = len(said) == 3

    with monkeypatch.context() as patched, pytest.raises(loop.Interrupted):
        patched.setattr(logging.Logs, "metrics", after_three)
        loop.drive(job, halted, stop)
    assert checkpoint.steps(halted / "checkpoints") == [128, 192]
    # Each save wrote its own rows: 128 steps, then 64 more, for two seeds.
    assert len(list((halted / "checkpoints" / "rows").iterdir())) == 2
    resumed = loop.drive(build.build(runs.open_run(halted).config), halted)
    assert int(resumed.updates[0]) == job.schedule.updates
    assert resumed.replay.sampler.model.any() and (resumed.replay.ring.written == 64).all()
    assert_same_states(straight, resumed)
