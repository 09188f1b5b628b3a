"""Environments that raise amid a run: the same words at every moment, and the run is kept."""

import json

import pytest

from rlseq.cli import main
from rlseq.errors import HostEnvError
from rlseq.train import checkpoint, loop
from tests.train.broken_env import broken
from tests.train.fake_job import make_folder
from tests.train.player import CHUNK, STEPS, E, player_job

CHUNKS = 5


def drive(folder, kind, at):
    loop.drive(player_job(CHUNKS, broken(kind, at), seeds=1), folder)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (0, "in its first reset: ValueError: boo; there is no checkpoint yet"),
        (70, "after step 128: ValueError: boo; the checkpoint of step 128 is kept"),
    ],
)
def test_the_words_are_the_same_at_every_moment(at, words, tmp_path, capfd):
    folder = make_folder(tmp_path)
    with pytest.raises(HostEnvError, match=f"^the environment failed {words} in "):
        drive(folder, "ValueError", at)
    assert "Traceback" not in "".join(capfd.readouterr())


def test_an_interrupt_of_the_environment_ends_the_run_as_one(tmp_path):
    folder = make_folder(tmp_path)
    with pytest.raises(loop.Interrupted, match="after step 128, amid a chunk; the checkpoint of"):
        drive(folder, "KeyboardInterrupt", 70)
    assert checkpoint.steps(folder / "checkpoints") == [2 * CHUNK * E * STEPS]
    drive(folder, "KeyboardInterrupt", -1)
    assert checkpoint.steps(folder / "checkpoints")[-1] == CHUNKS * CHUNK * E * STEPS


def test_an_environment_that_exits_ends_the_process_with_its_word(tmp_path):
    folder = make_folder(tmp_path)
    with pytest.raises(SystemExit, match="boo"):
        drive(folder, "SystemExit", 70)
    assert checkpoint.steps(folder / "checkpoints") == [2 * CHUNK * E * STEPS]


@pytest.mark.parametrize(("kind", "code"), [("ValueError", 1), ("KeyboardInterrupt", 130)])
def test_every_command_says_it_in_a_line(kind, code, monkeypatch, capfd):
    import jax

    from rlseq.commands import plan
    from rlseq.envs import make_env

    def play(_):
        jax.jit(make_env(broken(kind, 0)).reset)(jax.random.key(0))

    monkeypatch.setattr(plan, "run", play)
    assert main(["plan"]) == code
    out, err = capfd.readouterr()
    assert not out and len(err.splitlines()) == 1
    assert json.dumps(err).count("Traceback") == 0


@pytest.mark.parametrize("num_envs", [1, 4])
def test_steps_that_a_counter_cannot_hold_are_refused(num_envs):
    from rlseq import config
    from rlseq.errors import InputError
    from rlseq.train import build

    small = [f"env.num_envs={num_envs}", "agent.minibatches=1", "run.chunks=64"]
    steps = num_envs * 2.0**31
    with pytest.raises(InputError, match=r"counters end at 2,147,483,647"):
        build.build(
            config.compose(
                ["experiment=debug", *small, f"total_steps={steps}", "agent.num_steps=128"]
            )
        )
    most = num_envs * 2**30
    build.build(
        config.compose(["experiment=debug", *small, f"total_steps={most}", "agent.num_steps=128"])
    )
