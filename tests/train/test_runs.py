"""Run folders: complete, unique, never overwritten."""

import pytest

from rlseq import config
from rlseq.errors import InputError
from rlseq.train import runs


def compose(tmp_path, *overrides):
    return config.compose(["experiment=debug", f"run.root={tmp_path}", *overrides])


def test_a_run_folder_is_enough_to_start_again(tmp_path):
    made = runs.create(compose(tmp_path, "core=gru", "env.options.k=3", "agent.lr=2e-4"))
    assert made.folder.name.startswith("popgym-RepeatPreviousEasy-gru-ppo-")
    assert runs.open_run(made.folder) == made
    assert {p.name for p in made.folder.iterdir()} == {
        "checkpoints", "plots", "config.yaml", "env.txt",
    }  # fmt: skip
    info = (made.folder / "env.txt").read_text()
    for name in ("jax", "flax", "optax", "python", "platform", "cpu", "devices", "commit"):
        assert f"\n{name}: " in info


def test_two_runs_of_one_second_do_not_meet(tmp_path):
    folders = {runs.create(compose(tmp_path)).folder for _ in range(3)}
    assert len(folders) == 3


def test_nothing_is_overwritten(tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    with pytest.raises(InputError, match="exists already and is not overwritten"):
        runs.create(compose(tmp_path, f"run.dir={there}"))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="exists already"):
        runs.create(compose(tmp_path, f"run.dir={tmp_path / 'file'}"))
    assert not list(there.iterdir())


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        runs.open_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not a run"):
        runs.open_run(tmp_path)
    (tmp_path / "config.yaml").write_text("agent: {name: ppo, lrr: 1}\ncore: {name: s5}\n")
    with pytest.raises(InputError, match="lrr"):
        runs.open_run(tmp_path)
    (tmp_path / "config.yaml").write_text("just words")
    with pytest.raises(InputError, match="no configuration of a run"):
        runs.open_run(tmp_path)
