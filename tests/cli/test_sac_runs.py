"""Runs of the soft actor-critic: resumed bit for bit, played again; bad input."""

import numpy as np
import pytest

import rlseq
from rlseq import cli
from tests.cli.test_resume import resumes_bit_for_bit

PENDULUM = ["env.id=popgym:PositionOnlyPendulumEasy", "env.options.max_steps=8"]


def test_a_stopped_run_resumes_bit_for_bit(tmp_path, monkeypatch):
    resumes_bit_for_bit(["experiment=sac_debug", *PENDULUM], tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_stopped_run_with_choices_resumes_bit_for_bit(tmp_path, monkeypatch):
    resumes_bit_for_bit(["experiment=sac_debug", "core=s5"], tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_run_is_evaluated_and_loaded(tmp_path, capsys):
    run = str(tmp_path / "run")
    words = ["experiment=sac_debug", *PENDULUM, f"run.dir={run}", "run.mesh=seed=1", "seeds=2"]
    assert cli.main(["train", *words]) == cli.DONE
    assert "mean return" in capsys.readouterr().out
    assert cli.main(["eval", run, "--episodes", "3", "--greedy"]) == cli.DONE
    policy = rlseq.load_policy(run)
    carry, first = policy(None, np.array([1.0, 0.0], np.float32), True)
    _, second = policy(carry, np.array([1.0, 0.0], np.float32), False)
    assert first.shape == second.shape == (1,) and np.abs([first, second]).max() <= 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["agent.burn_in=2000"], "a sequence takes 2005 rows (agent.burn_in + agent.length + 1)"),
        (["agent.capacity=16"], "more than agent.capacity = 16 holds of each of env.num_envs = 4"),
        (["agent.warmup=8"], "more than agent.warmup = 8 steps collect of each of env.num_envs"),
        (["agent.burn_in=10", "env.id=probe:Truncated"], "the longest episode, 10 steps"),
        (["env.id=probe:Coins"], "sac needs Discrete actions, or Box(A,) of floats between finite"),
        (["world_model=nano"], "agent 'sac' has no world model: world_model=none"),
        (["agent.target_rate=0"], "agent.target_rate must be above 0, got 0"),
        (["agent.temperature=0"], "agent.temperature must be above 0, got 0"),
        (["agent.encoder_kind=conv"], "needs observations Box(H, W, C)"),
        (["agent.targetentropy=3"], "Did you mean 'agent.target_entropy'"),
        (["agent.capacity=2000000000"], "of which replay"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "experiment=sac_debug", *words]) == cli.BAD_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rlseq: ") and said in line
    assert not list(tmp_path.iterdir())
