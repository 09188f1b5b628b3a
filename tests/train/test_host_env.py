"""Environments outside JAX come back: resuming is exact, and what cannot be exact is refused."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from rlseq import config
from rlseq.errors import HostEnvError, InputError
from rlseq.train import build, checkpoint, host_env, logging, loop
from tests.script import command
from tests.train.fake_job import assert_same_states, make_folder
from tests.train.player import CHUNK, STEPS, E, player_job
from tests.train.test_loop import stop_after

CHUNKS = 5


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """(folder, final state) of a run that nothing stopped."""
    folder = make_folder(tmp_path_factory.mktemp("straight"))
    return folder, loop.drive(player_job(CHUNKS), folder)


def halt(folder: Path, monkeypatch, chunks: int, **options) -> Path:
    with pytest.raises(loop.Interrupted), monkeypatch.context() as patched:
        loop.drive(player_job(CHUNKS, **options), folder, stop_after(patched, chunks))
    return folder


def test_a_resumed_run_ends_where_one_without_a_stop_does(straight, tmp_path, monkeypatch):
    folder = halt(make_folder(tmp_path), monkeypatch, 3)
    assert_same_states(straight[1], loop.drive(player_job(CHUNKS), folder))
    whole, parts = ((f / host_env.ACTIONS).read_bytes() for f in (straight[0], folder))
    assert whole == parts and len(whole) == CHUNKS * CHUNK * STEPS * 2 * E


def test_the_file_is_what_was_done(straight):
    """The state's own ring, two seeds and E games beside each other, is the file's last chunk."""
    stored = np.fromfile(straight[0] / host_env.ACTIONS, np.uint8).reshape(-1, 2, E)
    recent = np.asarray(straight[1].env_state.log.recent)
    np.testing.assert_array_equal(stored[-CHUNK * STEPS :], np.moveaxis(recent, 2, 0))
    assert set(np.unique(stored)) == {0, 1, 2, 3}


def test_a_seed_of_many_is_that_seed_alone(straight, tmp_path):
    job = player_job(CHUNKS, seeds=1)
    job.config.seed = 4
    alone = loop.drive(job, make_folder(tmp_path))
    for name in ("taste", "timestep"):
        both = (getattr(state, name) for state in (straight[1], alone))
        jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1], b[0]), *both)


def test_callbacks_resume_to_the_same_end(straight, tmp_path, monkeypatch):
    folder = halt(make_folder(tmp_path), monkeypatch, 2, backend="callback")
    assert_same_states(straight[1], loop.drive(player_job(CHUNKS, backend="callback"), folder))


def test_killed_at_random_moments_it_still_ends_where_it_should(tmp_path):
    chance, folder = random.Random(1), tmp_path / "killed"
    words = command("tests.train.player", folder, 100_000)
    checkpoints = folder / "checkpoints"
    for _ in range(2):
        before = checkpoint.steps(checkpoints)
        with subprocess.Popen(words) as process:
            while checkpoint.steps(checkpoints) == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.3))
            os.kill(process.pid, signal.SIGKILL)
    done = checkpoint.steps(checkpoints)[-1] // (CHUNK * E * STEPS)
    file = folder / host_env.ACTIONS
    file.write_bytes(file.read_bytes() + b"\1\2\3")  # as torn as a kill can leave it
    killed = loop.drive(player_job(done + 1), folder)
    whole = loop.drive(player_job(done + 1), make_folder(tmp_path / "whole"))
    assert_same_states(whole, killed)
    assert file.read_bytes() == (tmp_path / "whole" / host_env.ACTIONS).read_bytes()


def test_what_cannot_be_brought_back_is_refused(tmp_path, monkeypatch):
    folder = halt(make_folder(tmp_path), monkeypatch, 2)
    file = folder / host_env.ACTIONS
    stored = file.read_bytes()
    file.write_bytes(stored[:-1])
    with pytest.raises(HostEnvError, match="255 bytes of the 256"):
        loop.drive(player_job(CHUNKS), folder)
    file.write_bytes(bytes([3 - stored[0]]) + stored[1:])
    with pytest.raises(HostEnvError, match="did not repeat themselves"):
        loop.drive(player_job(CHUNKS), folder)
    file.write_bytes(stored)
    assert loop.drive(player_job(CHUNKS), folder).updates[0] == CHUNKS * CHUNK


def test_another_cut_into_chunks_changes_nothing_that_happens(straight, tmp_path, monkeypatch):
    folder = halt(make_folder(tmp_path), monkeypatch, 2)
    job = player_job(CHUNKS)._replace(schedule=build.Schedule(E * STEPS, 3 * CHUNK, 1))
    job.agent.env.log_length = 3 * CHUNK * STEPS
    state = loop.drive(job, folder)
    assert state.updates[0] == CHUNKS * CHUNK
    assert_same_states(straight[1].timestep, state.timestep)


def test_steps_that_the_log_does_not_hold_are_a_fault(tmp_path):
    job = player_job(CHUNKS)
    job.agent.env.log_length = CHUNK * STEPS - 1
    with pytest.raises(HostEnvError, match="32 steps were taken at once"):
        loop.drive(job, make_folder(tmp_path))


def test_a_mesh_is_refused():
    overrides = ["experiment=debug", "env.id=atari:Pong", "run.mesh=env=2"]
    with pytest.raises(InputError, match="live outside JAX"):
        build.build(config.compose(overrides))


def test_what_lives_in_jax_has_no_file(tmp_path):
    job = player_job(2, env_id="gymnax:CartPole-v1")
    loop.drive(job, make_folder(tmp_path))
    assert not (tmp_path / host_env.ACTIONS).exists()
    assert logging.read(tmp_path / "metrics.jsonl")[-1]["step"] == job.schedule.steps
