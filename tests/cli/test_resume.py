"""Training 2N updates equals training N, stopping and resuming for N: every core, every bit."""

import pytest

import rlseq
from rlseq import config
from rlseq.train import build, logging, loop, runs
from tests import kinds
from tests.train.fake_job import assert_same_states, placed

QUIETLY = ["seeds=2", "run.eval_episodes=0", "run.quiet=true"]
# The smallest PPO that plays a real game, whose emulator draws dice and is not in the checkpoint.
ATARI = [
    "env.id=atari:Breakout", "env.preset=custom", "env.num_envs=2", "env.options.size=16",
    "env.options.grey=true", "env.options.sticky=0.25", "env.options.max_frames=160", "core=gru",
    "core.features=4", "agent.num_steps=8", "agent.minibatches=1", "agent.epochs=1",
    "agent.encoder=4", "agent.head=4", "total_steps=512", "run.chunks=8",
]  # fmt: skip


def resumes_bit_for_bit(overrides, tmp_path, monkeypatch):
    composed = config.compose([*overrides, *QUIETLY])
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


def test_ppo_resumes_bit_for_bit_with_a_layer_of_each_kind(tmp_path, monkeypatch):
    layers = f"core.layers=[{','.join(kinds.EACH_KIND)}]"
    resumes_bit_for_bit(["experiment=debug", "core=stack", layers], tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("core", rlseq.core_names())
def test_ppo_resumes_bit_for_bit(core, tmp_path, monkeypatch):
    resumes_bit_for_bit(["experiment=debug", f"core={core}"], tmp_path, monkeypatch)


def test_ppo_on_atari_resumes_bit_for_bit(tmp_path, monkeypatch):
    resumes_bit_for_bit(ATARI, tmp_path, monkeypatch)
