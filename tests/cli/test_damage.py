"""Every file of a run folder, damaged: each command goes on or says in one line what is wrong."""

import errno
import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from matplotlib.figure import Figure

from rlseq import cli
from rlseq.analysis import curves
from rlseq.train import build, logging, rows, runs
from tests.train import fake_command, faults

TEXTS = ("config.yaml", "metrics.jsonl", "episodes.jsonl", "env.txt", "index.json")
ARRAYS = ("manifest.ocdbt", "_METADATA")
COMMANDS = ("resume", "eval", "plot", "report", "export")


def zeros(data):
    return b"\0" * len(data)


def noise(data):
    return np.random.default_rng(0).bytes(max(len(data), 64))


def cut(data):
    return data[: len(data) * 2 // 3]


def flipped(data):
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 0x11]) + data[place + 1 :]


def nothing(data):
    return b""


DAMAGES = (zeros, noise, cut, flipped, nothing)


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    fake_command.install(monkeypatch.setattr)
    blank = lambda figure, path, **_: path.write_bytes(b"")  # noqa: E731  # drawing takes a second
    monkeypatch.setattr(Figure, "savefig", blank)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage") / "run"
    with pytest.MonkeyPatch.context() as patch:
        fake_command.install(patch.setattr)
        words = [*fake_command.OVERRIDES, "run.quiet=true", f"run.dir={folder}"]
        assert cli.main(["train", *words]) == cli.DONE
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_program():
    with pytest.MonkeyPatch.context() as patch:
        fake_command.install(patch.setattr)
        job = build.build(runs.configuration.compose(fake_command.OVERRIDES))
        compiled = build.compile_chunk(job)
        patch.setattr(build, "compile_chunk", lambda _: compiled)
        yield


def words(command, folder, out):
    more = {
        "eval": ["--episodes", 4],
        "plot": ["--out", out],
        "report": ["--out", out],
        "export": [out.with_suffix(".npz")],
    }
    return [str(word) for word in (command, folder, *more.get(command, []))]


def run(command, folder, out, capsys):
    """The exit code, after looking at what was said: one line, and no traceback got through."""
    capsys.readouterr()
    code = cli.main(words(command, folder, out))
    said = capsys.readouterr().err
    if code:
        assert said.startswith("rlseq: ") and said.count("\n") == 1, said
    return code, said


def damaged(trained, folder, name, damage):
    """A copy of the run with one file damaged; of a checkpoint's files, the newest."""
    shutil.copytree(trained, folder)
    path = sorted(folder.rglob(name))[-1]
    path.write_bytes(damage(path.read_bytes()))
    return path


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", TEXTS)
def test_commands_survive_a_damaged_text(trained, tmp_path, name, damage, capsys):
    damaged(trained, tmp_path / "run", name, damage)
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    codes = {}
    for command in COMMANDS[::-1]:  # `resume` last: it writes
        codes[command], said = run(command, tmp_path / "run", tmp_path / command, capsys)
        assert codes[command] in (cli.DONE, cli.BAD_INPUT), (command, said)
        if codes[command] and damage is not nothing and name != "index.json":
            assert name in said
    if name == "config.yaml" and damage is not flipped:
        assert set(codes.values()) == {cli.BAD_INPUT}
    if name == "env.txt":
        assert set(codes.values()) == {cli.DONE}
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ARRAYS)
def test_a_damaged_newest_checkpoint_is_passed_over_by_commands(
    trained, tmp_path, name, damage, capsys
):
    damaged(trained, tmp_path / "run", name, damage)
    for command in ("eval", "export", "resume"):
        code, _ = run(command, tmp_path / "run", tmp_path / command, capsys)
        assert code == cli.DONE
    last = logging.read(tmp_path / "run" / logging.METRICS)[-1]["step"]
    assert last == logging.read(trained / logging.METRICS)[-1]["step"]


def test_a_run_whose_checkpoints_are_all_damaged_says_so(trained, tmp_path, capsys):
    shutil.copytree(trained, tmp_path / "run")
    for path in (tmp_path / "run").rglob("index.json"):
        path.write_bytes(zeros(path.read_bytes()))
    for command in ("eval", "export", "resume"):
        capsys.readouterr()
        assert cli.main(words(command, tmp_path / "run", tmp_path / "out")) == cli.BAD_INPUT
        assert "no readable checkpoint" in capsys.readouterr().err


def _lacking(line):
    return json.dumps({k: v for k, v in json.loads(line).items() if k != "seconds"}).encode()


def _text(line):
    return json.dumps(json.loads(line) | {"return": "high"}).encode()


ROW_DAMAGES = {
    "lacks 'seconds'": _lacking,
    "has \"high\" for 'return', not a finite number or null": _text,
    "holds NaN": lambda line: line[:-1] + b', "loss": NaN}',
    "has infinity for 'loss'": lambda line: line[:-1] + b', "loss": 1e999}',
    "holds one name twice": lambda line: line[:-1] + b', "step": 64}',
    "has -3 for 'step', not a whole number": lambda line: json.dumps(
        json.loads(line) | {"step": -3}
    ).encode(),
    "is no JSON object": lambda line: line[:20],
    "is no JSON object ": lambda line: b"\xff\xfe\x00" + line,
    "is no JSON object  ": lambda line: b"[" * 100_000,
    "is no JSON object   ": lambda line: b"[1, 2]",
    "is no JSON object    ": lambda line: b"",
}  # fmt: skip


@pytest.mark.parametrize("fault", ROW_DAMAGES)
def test_a_broken_row_in_the_middle_is_passed_over_and_named(trained, tmp_path, fault, caplog):
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / logging.METRICS
    lines = path.read_bytes().splitlines()
    whole = curves.read(tmp_path / "run")
    lines[4] = ROW_DAMAGES[fault](lines[4])  # a row a seed: the third step's
    path.write_bytes(b"\n".join(lines) + b"\n")
    curve = curves.read(tmp_path / "run")
    assert f"{logging.METRICS}, row 5 {fault.strip()}" in caplog.text
    kept = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(curve.steps, whole.steps[kept])
    np.testing.assert_array_equal(curve.values, whole.values[:, kept])
    np.testing.assert_array_equal(curve.seconds, whole.seconds[kept])


def test_a_resumed_run_keeps_what_it_cannot_read(trained, tmp_path):
    """Nothing that might be mended by hand is lost, and what is cut off is not written twice."""
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / logging.METRICS
    lines = path.read_bytes().splitlines()
    lines[4] = b"\xff\xfe"
    torn = b"\n".join(lines) + b'\n{"step": 9'
    path.write_bytes(torn)
    assert cli.main(["resume", str(tmp_path / "run")]) == cli.DONE
    assert path.read_bytes() == b"\n".join(lines) + b"\n"


def test_episodes_added_after_a_cut_off_row_are_whole(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / logging.EPISODES
    before = len(rows.read(path, rows.EPISODES))
    path.write_bytes(path.read_bytes() + b'{"step": 3, "se')
    assert cli.main(["eval", str(tmp_path / "run"), "--episodes", "4"]) == cli.DONE
    assert len(rows.read(path, rows.EPISODES)) == before + 4 * fake_command.SEEDS


def test_a_run_that_may_only_be_read_is_evaluated_and_plotted(trained, tmp_path, capsys, caplog):
    shutil.copytree(trained, tmp_path / "run")
    folder, rows_file = str(tmp_path / "run"), tmp_path / "rows.jsonl"
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*l*")}
    with faults.failing(tmp_path / "run", 0, errno.EROFS):
        assert cli.main(["eval", folder, "--episodes", "4"]) == cli.DONE
        assert "mean return" in capsys.readouterr().out
        assert "ead-only file system: the run does not hold these episodes" in caplog.text
        assert cli.main(["eval", folder, "--episodes", "4", "--out", str(rows_file)]) == cli.DONE
        assert cli.main(["plot", folder, "--out", str(tmp_path / "figures")]) == cli.DONE
        assert cli.main(["report", folder, "--out", str(tmp_path / "page")]) == cli.DONE
        assert cli.main(["export", folder, str(tmp_path / "w.npz")]) == cli.DONE
        code, said = run("resume", tmp_path / "run", tmp_path, capsys)
    assert code == cli.FAILED and "cannot write the lock of the run" in said
    assert len(rows_file.read_text().splitlines()) == 4 * fake_command.SEEDS
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*l*")}


@pytest.mark.parametrize("command", ["plot", "report", "export", "eval"])
def test_an_output_that_cannot_be_written_is_one_line(
    trained, tmp_path, command, capsys, monkeypatch
):
    monkeypatch.undo()
    fake_command.install(monkeypatch.setattr)
    out = tmp_path / "out"
    arguments = words(command, trained, out / "x" if command == "export" else out)
    arguments += ["--out", str(out / "x")] if command == "eval" else []
    out.mkdir()
    with faults.file_limit(40):
        code = cli.main(arguments)
    said = capsys.readouterr().err
    assert code == cli.FAILED and "cannot write" in said and "free there" in said
    assert "Traceback" not in said and (command != "eval" or "mean return" in said)
    assert not faults.leftovers(out) and not list(out.glob("*.npz")) and not list(out.glob("*.png"))


@pytest.mark.parametrize("size", [0, 3000])
def test_the_score_of_a_run_that_cannot_be_written_is_said(trained, tmp_path, size, capsys):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / logging.EPISODES).unlink()
    with faults.failing(tmp_path / "run" / logging.EPISODES, 0, errno.EDQUOT):
        assert cli.main(["resume", str(tmp_path / "run")]) == cli.FAILED
    said = capsys.readouterr().err
    assert "mean return" in said and "isk quota exceeded" in said and "is whole up to step" in said
    assert cli.main(["resume", str(tmp_path / "run")]) == cli.DONE
    assert logging.read(tmp_path / "run" / logging.EPISODES)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "rlseq-test", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no permission to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_on_a_real_full_and_read_only_disk(small_disk, trained, tmp_path, capsys):
    filler, folder = small_disk / "filler", small_disk / "run"
    filler.write_bytes(b"x" * 450_000)
    arguments = ["train", *fake_command.OVERRIDES, "run.quiet=true", f"run.dir={folder}"]
    assert cli.main(arguments) == cli.FAILED
    said = capsys.readouterr().err
    assert "no space left on device" in said and "of 614 kB free there" in said
    assert said.count("\n") == 1 and not faults.leftovers(folder)
    filler.unlink()
    assert cli.main(["resume", str(folder)]) == cli.DONE
    ours, straight = (logging.read(f / logging.EPISODES) for f in (folder, trained))
    assert ours == straight
    os.sync()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    capsys.readouterr()
    for command, code in (("eval", cli.DONE), ("plot", cli.DONE), ("resume", cli.FAILED)):
        assert cli.main(words(command, folder, tmp_path / command)) == code
    printed = capsys.readouterr()
    assert "mean return" in printed.out and "ead-only file system" in printed.err
