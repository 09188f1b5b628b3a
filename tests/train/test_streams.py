"""Closed pipes, hung-up terminals and odd surroundings never stop work nor lose a score."""

import io
import os
import subprocess
import sys

import jax
import pytest

from rlseq.train import checkpoint, logging, process, streams
from tests.script import command
from tests.train import fake_command

TRAIN = ["train", *fake_command.OVERRIDES]
STEPS = fake_command.CHUNKS * 64


def spawn(folder, words, environment=None, **options):
    """rlseq's words in a process of its own, around the fake agent."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}
    line = command("tests.train.fake_command", *words)
    environment = {**os.environ, **cache, **(environment or {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(line, cwd=folder, env=environment, **pipes)


def check_trained(folder):
    """To the end, saved and evaluated."""
    assert checkpoint.steps(folder / "checkpoints")[-1] == STEPS
    played = logging.read(folder / logging.EPISODES)
    assert [row["step"] for row in played] == [STEPS] * 4 * fake_command.SEEDS


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run whose reader, as `head -1`, left after a line: standard error as well."""
    folder = tmp_path_factory.mktemp("head")
    with spawn(folder, [*TRAIN, "run.dir=run"], stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None and process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=120) == 0
    return folder


def test_training_goes_on_without_its_reader(trained):
    check_trained(trained / "run")


def test_resume_and_eval_go_on_without_their_reader(trained):
    folder = trained / "run"
    for path in (folder / logging.EPISODES, *(folder / "checkpoints").glob(f"*{STEPS}/*.json")):
        path.unlink()
    for words in (["resume", folder], ["eval", folder, "--episodes", 4]):
        read, write = os.pipe()
        os.close(read)  # there never was a reader
        with spawn(trained, words, stdout=write, stderr=write) as process:
            os.close(write)
            assert process.wait(timeout=120) == 0
    lines = (folder / logging.EPISODES).read_text().splitlines()
    assert len(lines) == 2 * 4 * fake_command.SEEDS


ODD = {
    "MPLBACKEND": "odd",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "COLUMNS": "abc",
    "LINES": "0",
    "PYTHONIOENCODING": "ascii",
    "TMPDIR": "/nowhere",
    "HOME": "/nowhere",
    "XDG_CONFIG_HOME": "/proc/nowhere",
}
# The first makes Python compile every library once more.
ELSE = {"PYTHONOPTIMIZE": "2", "JAX_COMPILATION_CACHE_DIR": "/proc/nowhere"}


def test_odd_surroundings_do_not_matter(tmp_path):
    """All at once: of settings, home, encoding, and closed standard streams."""
    folder = tmp_path / "läuft"
    folder.mkdir()
    words = [*TRAIN, f"run.root={folder}"]
    closed = (
        "import os, sys; os.close(0); os.close(1); os.close(2); os.execv(sys.argv[1], sys.argv[1:])"
    )
    line = [sys.executable, "-c", closed, *command("tests.train.fake_command", *words)]
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    assert subprocess.run(line, cwd=tmp_path, env=environment | ODD).returncode == 0
    [run] = folder.iterdir()
    check_trained(run)
    with spawn(tmp_path, ["eval", run, "--episodes", 4], ODD) as process:
        out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert b"mean return" in out.split(b"\n")[-2] and b"\\xb1" in out


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ODD, *ELSE])
def test_one_odd_setting_does_not_matter_to_the_real_agent(name, tmp_path):
    line = [sys.executable, "-m", "rlseq"]
    cache = {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}
    environment = os.environ | cache | {name: (ODD | ELSE)[name]}
    train = ["train", "experiment=debug", "core=mlp", "run.dir=run", "run.eval_episodes=4"]
    for words in (train, ["plot", "run"], ["list", "cores"], ["report", "run", "--out", "page"]):
        done = subprocess.run([*line, *words], cwd=tmp_path, env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr


def test_a_user_whom_the_system_does_not_know_has_a_home(monkeypatch):
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr(process.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    process.prepare()
    assert os.path.isdir(os.environ["HOME"])


def test_what_cannot_be_written_is_dropped_and_the_rest_follows_it():
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as stream:
        lasting = streams.Lasting(stream)
        for _ in range(3):
            assert lasting.write("x" * 100_000) == 100_000
            lasting.flush()
    closed = io.StringIO()
    closed.close()
    assert streams.Lasting(closed).write("x") == 1
    streams.Lasting(closed).flush()


def test_a_stream_is_known_in_its_wrapping(monkeypatch):
    """Hydra closes handlers of logs; absl's closes its stream unless that is `sys.stderr`."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with streams.lasting():
        assert stream in (sys.stdout, sys.stderr) and sys.stderr in (sys.stdout, stream)
        assert io.StringIO() not in (sys.stdout, sys.stderr)
    assert sys.stderr is stream


def test_a_letter_that_the_encoding_lacks_is_an_escape():
    inside = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    lasting = streams.Lasting(inside)
    lasting.write("1 ± 2 \udcc3\n")
    lasting.close()
    assert inside.buffer.getvalue() == b"1 \\xb1 2 \\udcc3\n"  # type: ignore[attr-defined]
    assert not inside.closed


def test_a_full_disk_under_a_redirection_is_dropped():
    with open("/dev/full", "w", encoding="utf-8") as stream:
        lasting = streams.Lasting(stream)
        lasting.write("x" * 100_000)
        lasting.flush()
