"""The measurement of environments on tiny sizes: its columns, its file, how it goes on."""

import json

import jax
import numpy as np
import pytest

import rlseq
from rlseq import cli
from rlseq.analysis.bench import envs
from rlseq.errors import InputError

IDS = ["popgym:RepeatFirstEasy", "memory:TMaze"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A folder with the rows of two environments, made by the command."""
    folder = tmp_path_factory.mktemp("envs")
    command = ["bench", "envs", "--envs", ",".join(IDS), "--quick", "--output", str(folder)]
    assert cli.main(command) == cli.DONE
    return folder


def rows_of(folder):
    return json.loads((folder / "envs.json").read_text())["rows"]


def test_every_environment_has_a_row_beside_popgym(measured):
    popgyms, ours = rows_of(measured)
    assert [popgyms["environment"], ours["environment"]] == IDS
    for row in (popgyms, ours):
        assert row["1 envs"] > 0 and row["8 envs"] > 0 and row["ppo rollout, 8 envs"] > 0
    assert popgyms["popgym"] > 0 and popgyms["popgym, 8 processes"] > 0
    assert popgyms["times popgym"] == popgyms["8 envs"] / popgyms["popgym"]
    assert ours["popgym"] is None and ours["times popgym"] is None


def test_a_stopped_run_goes_on_and_keeps_its_rows(measured, monkeypatch):
    before = rows_of(measured)
    seen = []
    monkeypatch.setattr(
        envs, "_row", lambda name, *settings: seen.append(name) or {"environment": name}
    )
    rows = envs.run(measured, [*IDS, "memory:Parity"], quick=True, show=lambda line: None)
    assert rows[:2] == before and seen == ["memory:Parity"]
    assert rows_of(measured) == rows


def test_sizes_asked_for_are_all_that_is_measured(tmp_path):
    """And no run is longer than there is time for, here a single step."""
    command = ["bench", "envs", "--envs", "probe:Leak", "--sizes", "3,5", "--quick"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envs, "AT_MOST", 1e-9)
        assert cli.main([*command, "--output", str(tmp_path)]) == cli.DONE
    (row,) = rows_of(tmp_path)
    columns = [f"{size} envs{how}" for size in (3, 5) for how in ("", envs.BY_CPU)]
    assert all(row[column] > 0 for column in columns)
    assert set(row) == {"environment", *columns, "quick", "commit"}


def test_no_part_of_a_time_step_can_be_dropped():
    """What the measured program returns is the last time step itself, computed step by step."""
    env = rlseq.make_env("popgym:RepeatPreviousEasy", 2)
    start = env.reset(jax.random.key(0))
    _, last = jax.jit(lambda: envs._advance(env, start, jax.random.key(1), 60))()
    state, ts = start
    step = jax.jit(env.step)
    for index in range(60):
        act_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(1), index))
        action = jax.random.randint(act_key, (2,), 0, env.spec.action_space.n)  # all from one key
        state, ts = step(state, action, step_key)
    jax.tree.map(np.testing.assert_array_equal, last, ts)


def test_rows_of_another_machine_are_not_mixed_and_names_are_checked(measured, tmp_path):
    whole = json.loads((measured / "envs.json").read_text())
    whole["about"]["cpu"] = "another"
    (tmp_path / "envs.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match="another folder"):
        envs.run(tmp_path, IDS)
    with pytest.raises(InputError, match="Did you mean"):
        envs.run(tmp_path, ["popgym:RepeatFirstEsay"])
