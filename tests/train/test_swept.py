"""`sweep.vmap`: settings in one program are the runs that each would be alone."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from rlseq import agents, config, registry
from rlseq.agents import agent_config
from rlseq.cli import main
from rlseq.envs import make_env
from rlseq.errors import InputError
from rlseq.laws import agent_cases
from rlseq.train import build, checkpoint, logging, loop, runs
from rlseq.train.stop import Interrupted
from rlseq.train.swept import folder as sweep_folder
from rlseq.train.swept import loop as swept
from rlseq.train.swept import program, space
from rlseq.train.swept.agent import SweptAgent
from tests.train.fake_job import assert_same_states

SMALL = ["experiment=debug", "core=gru", "core.features=8", "agent.encoder=8", "agent.head=8",
         "seeds=2", "run.quiet=true"]  # fmt: skip
LISTS = "sweep.vmap={agent.lr: [1e-3, 1e-2], agent.gamma: [0.5]}"
NAMES = ["agent.lr=0.001-agent.gamma=0.5", "agent.lr=0.01-agent.gamma=0.5"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sweep from its beginning to its end."""
    root = tmp_path_factory.mktemp("whole")
    return swept.train(space.parse([*SMALL, LISTS, f"run.root={root}"]))


def rows_of(folder, name):
    keys = ("seconds", "steps_per_second")
    rows = logging.read(folder / name)
    return [{key: value for key, value in row.items() if key not in keys} for row in rows]


def newest(folder):
    """(step, state) of a run's newest checkpoint."""
    like = build.abstract_state(build.build(runs.open_run(folder).config))
    return checkpoint.restore(folder / "checkpoints", like)


def test_a_setting_is_the_run_that_it_would_be_alone(whole, tmp_path):
    values = ["agent.lr=1e-2", "agent.gamma=0.5"]
    alone = loop.train(config.compose([*SMALL, *values, f"run.dir={tmp_path / 'alone'}"])).folder
    together = whole / NAMES[1]
    assert runs.open_run(together).config.agent == runs.open_run(alone).config.agent
    for mine, its in zip(rows_of(together, "metrics.jsonl"), rows_of(alone, "metrics.jsonl"),
                         strict=True):  # fmt: skip
        assert mine.keys() == its.keys()
        for key in mine:
            pair = (np.array(one[key], float) for one in (mine, its))  # unknown is NaN
            np.testing.assert_allclose(*pair, rtol=1e-3, atol=1e-5, err_msg=key)
    assert newest(together)[0] == newest(alone)[0]
    for a, b in zip(jax.tree.leaves(newest(together)[1].params),
                    jax.tree.leaves(newest(alone)[1].params), strict=True):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    mine, its = (rows_of(folder, "episodes.jsonl") for folder in (together, alone))
    assert [(row["seed"], row["return"]) for row in mine] == [
        (row["seed"], row["return"]) for row in its
    ]


def test_settings_differ_and_seeds_begin_alike(whole):
    first, second = (rows_of(whole / name, "metrics.jsonl") for name in NAMES)
    assert first[0]["loss/value"] != second[0]["loss/value"]
    assert {row["seed"] for row in first} == {0, 1} == {row["seed"] for row in second}


def test_an_interrupted_sweep_goes_on_bit_for_bit_where_all_settings_are(
    whole, tmp_path, monkeypatch
):
    save, saved = swept._save_member, []

    def stop_after_two_rounds(session, *rest):
        saved.append(save(session, *rest))
        if len(saved) == 4:  # the second checkpoint of both settings
            session.stop.requested = True

    with monkeypatch.context() as patch:
        patch.setattr(swept, "_save_member", stop_after_two_rounds)
        patch.setattr(
            sweep_folder, "_new_folder", lambda root: (root / "cut").mkdir() or root / "cut"
        )
        words = [*SMALL, "run.checkpoint_every=1", LISTS, f"run.root={tmp_path}"]
        with pytest.raises(Interrupted, match="rlseq resume"):
            swept.train(space.parse(words))
    folders = [tmp_path / "cut" / name for name in NAMES]
    last = checkpoint.steps(folders[1] / "checkpoints")[-1]
    shutil.rmtree(folders[1] / "checkpoints" / f"{last:012d}")  # a kill between two saves
    assert main(["resume", str(tmp_path / "cut")]) == 0
    for folder, name in zip(folders, NAMES, strict=True):
        assert rows_of(folder, "metrics.jsonl") == rows_of(whole / name, "metrics.jsonl")
        assert rows_of(folder, "episodes.jsonl") == rows_of(whole / name, "episodes.jsonl")
        assert_same_states(newest(folder)[1], newest(whole / name)[1])
    again = {folder: (folder / "metrics.jsonl").read_bytes() for folder in folders}
    swept.resume(tmp_path / "cut")  # nothing is left to do
    assert again == {folder: (folder / "metrics.jsonl").read_bytes() for folder in folders}


def test_a_sweep_begins_with_the_weights_of_another_run(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(swept, "_chunks", lambda session, state, step: (state, step))
    monkeypatch.setattr(swept, "_finish", lambda *_: None)
    source = whole / NAMES[1]
    words = [*SMALL, LISTS, f"init_from={source}", f"run.root={tmp_path}"]
    folder = swept.train(space.parse(words))
    wanted = newest(source)[1].params.network
    for name in NAMES:
        step, state = newest(folder / name)
        assert step == 0
        for a, b in zip(
            jax.tree.leaves(state.params.network), jax.tree.leaves(wanted), strict=True
        ):
            assert (a == b).all()
    swept.resume(folder)  # from what was saved


def test_a_signal_before_the_first_chunk_saves_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(
        swept.Stop, "__enter__", lambda self: setattr(self, "requested", True) or self
    )
    with pytest.raises(Interrupted, match="at step 0, saved"):
        swept.train(space.parse([*SMALL, LISTS, f"run.root={tmp_path}"]))
    assert {path.name for path in tmp_path.glob("*/*/checkpoints/0*")} == {"0" * 12}


def test_a_setting_that_diverges_is_left_behind(tmp_path, monkeypatch, capsys):
    check = swept.check_finite

    def check_or_fail(job, folder, step, metrics):
        broken = job.config.agent["lr"] == 1e-2
        check(job, folder, step, metrics | ({"finite": np.zeros(2)} if broken else {}))

    monkeypatch.setattr(swept, "check_finite", check_or_fail)
    words = ["run.quiet=false", LISTS, f"run.root={tmp_path}"]
    folder = swept.train(space.parse([*SMALL, *words]))
    assert checkpoint.steps(folder / NAMES[0] / "checkpoints")
    assert not checkpoint.steps(folder / NAMES[1] / "checkpoints")
    assert not (folder / NAMES[1] / "episodes.jsonl").exists()
    said = capsys.readouterr().out
    assert "the other settings go on" in said and f"{NAMES[1]}: the loss is not finite" in said


def test_each_setting_is_a_run_of_its_own(whole, capsys):
    assert main(["eval", str(whole / NAMES[0]), "--episodes", "4"]) == 0
    assert "mean return" in capsys.readouterr().out


def test_a_folder_that_is_not_whole_is_refused(whole, tmp_path):
    shutil.copytree(whole, copy := tmp_path / "copy")
    shutil.rmtree(copy / NAMES[1])
    with pytest.raises(InputError, match="no run folder"):
        swept.resume(copy)
    (copy / sweep_folder.FILE).write_text("vmap: {}\n")
    with pytest.raises(InputError, match="names no hyper-parameters"):
        swept.resume(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{agent.lrr: [1e-3]}", "Did you mean 'lr'"),
        ("{agent.num_steps: [8, 16]}", "shapes the program"),
        ("{core.features: [8]}", "hyper-parameters of the agent"),
        ("{agent.lr: 1e-3}", "reads like"),
        ("{agent.lr: []}", "reads like"),
        ("agent.lr", "reads like"),
        ("{", "reads like"),
        ("{agent.lr: [-1]}", "agent.lr must be above 0"),
        ("{agent.lr: [x]}", "agent.lr must be a finite number"),
        ("{agent.lr: [1e-3, 0.001]}", "different numbers"),
        ("{agent.lr: [1e-3], agent.gamma: [0.5, 2]}", "agent.gamma must be at most 1"),
    ],
)
def test_what_cannot_be_swept_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        space.parse([*SMALL, f"sweep.vmap={text}"])


def test_a_value_that_decides_what_the_program_does_is_named(tmp_path):
    words = [*SMALL, "sweep.vmap={agent.lr: [1e-3], agent.target_kl: [0.1, 0.2]}"]
    with pytest.raises(InputError, match=r"cannot vary agent\.target_kl: agent 'ppo'"):
        program.build_program(space.parse([*words, f"run.root={tmp_path}"]))
    assert not list(tmp_path.iterdir())


def test_one_folder_two_kinds_of_sweeps_and_environments_outside_jax_are_refused(tmp_path, capsys):
    with pytest.raises(InputError, match=r"name run\.root"):
        space.parse([*SMALL, LISTS, f"run.dir={tmp_path}"])
    assert main(["train", "-m", *SMALL, LISTS]) == 2
    assert "choose one" in capsys.readouterr().err
    outside = ["env.id=atari:Pong", "env.num_envs=2", "agent.minibatches=1"]
    with pytest.raises(InputError, match="live outside JAX"):
        program.build_program(space.parse([*SMALL, *outside, LISTS]))


@pytest.mark.parametrize("name", [name for name in registry.names("agent") if name != "decision"])
def test_the_learning_rate_of_every_agent_can_be_swept(name):
    """Traced, not computed: a value that Python needs would raise."""
    env = make_env(agent_cases.ENV_ID, agent_cases.ENVS, statistics=True)
    settings = agents.agent_settings(name, agent_cases.small(name))
    model = agent_cases.MODEL if agent_cases.needs_model(name) else None
    key = next(key for key in ("lr", "actor_lr", "model_lr") if hasattr(settings, key))

    def make(own):
        return agents.construct(name, env, own, agent_cases.CORE, agent_cases.UPDATES, model)

    agent = SweptAgent(make(settings), settings, make, [key])
    state = jax.eval_shape(agent.init, jax.random.key(0))
    trained, metrics = jax.eval_shape(lambda one: agent.train(one, 1), state)
    assert jax.tree.map(lambda leaf: leaf.shape, trained) == jax.tree.map(
        lambda leaf: leaf.shape, state
    )
    assert metrics["finite"].shape == ()
    assert json.dumps(agent.defaults) == json.dumps({key: getattr(settings, key)})
    assert dataclasses.is_dataclass(agent_config(name))
