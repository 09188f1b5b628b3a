"""Training 2N updates equals training N, stopping and resuming for N: every core, every bit."""

import pytest

from rlseq import config
from rlseq.train import build, logging, loop, runs
from tests import kinds
from tests.train.fake_job import assert_same_states, placed


@pytest.mark.parametrize("core", kinds.cores())
def test_ppo_resumes_bit_for_bit(core, tmp_path, monkeypatch):
    overrides = [
        "experiment=debug",
        f"core={core}",
        "seeds=2",
        "run.eval_episodes=0",
        "run.quiet=true",
    ]
    composed = config.compose(overrides)
    job = build.build(composed)
    compiled = build.compile_chunk(job)
    monkeypatch.setattr(build, "compile_chunk", lambda _: compiled)  # compiling is the slow part
    straight = loop.drive(job, runs.create(placed(composed, tmp_path / "straight")).folder)
    halted = runs.create(placed(composed, tmp_path / "halted")).folder
    stop = loop.Stop()
    with monkeypatch.context() as patched, pytest.raises(loop.Interrupted):
        patched.setattr(logging.Logs, "metrics", lambda *_: setattr(stop, "requested", True))
        loop.drive(job, halted, stop)
    resumed = loop.drive(build.build(runs.open_run(halted).config), halted)
    assert int(resumed.updates[0]) == job.schedule.updates
    assert_same_states(straight, resumed)
