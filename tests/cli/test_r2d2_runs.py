"""Runs of the agent with a prioritised replay: resumed and killed, bit for bit; bad input."""

import pytest

from rlseq import cli, config
from rlseq.train import build, checkpoint, logging, loop, runs
from tests.cli.test_resume import resumes_bit_for_bit
from tests.train.fake_job import assert_same_states, placed

SMALL = ["experiment=r2d2_debug", "seeds=2", "run.eval_episodes=0", "run.quiet=true"]
# On images of a real game: stacked frames, shifts, lost lives, no target network, no memory.
ATARI = [
    "experiment=atari100k_der", "env.id=atari:Breakout", "env.preset=custom", "env.num_envs=2",
    "env.options.size=20", "env.options.grey=true", "env.options.max_frames=160", "core.features=8",
    "agent.sampling=prioritised", "agent.warmup=64", "agent.capacity=512", "agent.batch=4",
    "agent.n_step=3", "agent.n_step_first=3", "total_steps=256", "run.chunks=4",
]  # fmt: skip


class Killed(BaseException):
    """What nothing may catch, as nothing catches SIGKILL."""


def test_a_stopped_run_resumes_bit_for_bit(tmp_path, monkeypatch):
    resumes_bit_for_bit(["experiment=r2d2_debug"], tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_stopped_run_on_images_resumes_bit_for_bit(tmp_path, monkeypatch):
    resumes_bit_for_bit(ATARI, tmp_path, monkeypatch)


def test_a_killed_run_goes_on_from_its_checkpoint_bit_for_bit(tmp_path, monkeypatch):
    composed = config.compose([*SMALL, "run.time_parts=true"])
    job = build.build(composed)
    compiled = build.compile_chunk(job)
    monkeypatch.setattr(build, "compile_chunk", lambda _: compiled)  # compiling is the slow part
    straight = loop.drive(job, runs.create(placed(composed, tmp_path / "straight")).folder)
    for row in logging.read(tmp_path / "straight" / "metrics.jsonl"):
        timed = {key for key in row if key.startswith("seconds/")}
        assert timed == {f"seconds/{part}" for part in ("acting", "agent", "environment")}
    priorities = straight.replay.sampler
    assert (priorities.rows != priorities.largest[..., None]).any()
    killed = runs.create(placed(composed, tmp_path / "killed")).folder
    said = []

    def third(*_):
        said.append(None)
        if len(said) == 3:
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(logging.Logs, "metrics", third)
        loop.drive(job, killed)
    assert checkpoint.steps(killed / "checkpoints") == [128]  # of 192 that were played
    resumed = loop.drive(build.build(runs.open_run(killed).config), killed)
    assert_same_states(straight, resumed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["agent.burn_in=2000"], "a sequence takes 2006 rows (agent.frames - 1 + agent.burn_in"),
        (["agent.capacity=16"], "more than agent.capacity = 16 holds of each of env.num_envs = 4"),
        (["agent.warmup=8"], "more than agent.warmup = 8 steps collect of each of env.num_envs"),
        (["agent.burn_in=10", "env.id=probe:Truncated"], "the longest episode, 10 steps"),
        (["agent.reset_every=7", "agent.updates=2"], "must divide agent.reset_every, got 7"),
        (["agent.frames=4"], "agent.frames and agent.shift are for images, not for vectors"),
        (["agent.encoder_kind=efficient"], "needs observations Box(H, W, C)"),
        (["env.id=gymnax:Pendulum-v1"], "r2d2 needs Discrete actions, got Box"),
        (["world_model=nano"], "agent 'r2d2' has no world model: world_model=none"),
        (["agent.sampling=frequency"], "unknown agent.sampling 'frequency'"),
        (["agent.value_head=categoric"], "Did you mean 'categorical'"),
        (["agent.priority_exponent=1.5"], "agent.priority_exponent must be at most 1, got 1.5"),
        (["agent.target_rate=0"], "agent.target_rate must be above 0, got 0"),
        (["agent.burnin=3"], "unknown key 'agent.burnin'. Did you mean 'agent.burn_in'"),
        (["total_steps=4"], "less than one update"),
        (["agent.capacity=2000000000"], "of which replay"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "experiment=r2d2_debug", *words]) == cli.BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rlseq: ") and said in line
    assert not list(tmp_path.iterdir())
