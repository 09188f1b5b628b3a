"""A run begins with the weights of another run or of a model, and says which of them it took."""

import json
import shutil

import jax
import numpy as np
import pytest

import rlseq
from rlseq import cli, config
from rlseq.errors import InputError
from rlseq.train import build, checkpoint, export, leaves, loop, runs, warm_start
from tests.train.runs_at_once import untrained

SMALL = ["experiment=debug", "run.quiet=true", "run.eval_episodes=0"]  # as test_commands.py has it
NORMAL = "agent.normalize_observations=true"


def run_cli(*arguments):
    return cli.main([str(one) for one in arguments])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run of two seeds."""
    return untrained(tmp_path_factory.mktemp("warm") / "source", "seeds=2").folder


@pytest.fixture(scope="module")
def model(source):
    folder = source.parent / "model"
    export.export_model(source, folder, seed_index=1)
    return folder


def job_of(*words):
    return build.build(config.compose([*SMALL, *words]))


def begun(*words):
    """(policy parameters of every seed of a new run, what it took)."""
    job = job_of(*words)
    found = warm_start.load(job)
    assert found is not None
    state = warm_start.put(job, build.init(job), found)
    like = build.abstract_state(job)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), like
    )
    return leaves.flatten(jax.vmap(job.agent.policy_params)(state)), found


def policies(folder, seed):
    return leaves.flatten(rlseq.load_policy(folder, seed=seed).params)


def assert_seeds(got, folder, seeds):
    for i, seed in enumerate(seeds):
        wanted = policies(folder, seed)
        assert set(got) == set(wanted)
        for path, leaf in wanted.items():
            np.testing.assert_array_equal(got[path][i], leaf)


@pytest.mark.parametrize(
    "words",
    [
        ["seeds=2", "env.num_envs=6"],
        ["seeds=2", "env.id=popgym:RepeatPreviousMedium", "agent.lr=1e-5", "seed=9"],
        ["seeds=1", "run.chunks=1"],
    ],
    ids=["other num_envs", "other environment", "fewer seeds"],
)
def test_seed_i_begins_with_seed_i(source, words):
    got, found = begun(f"init_from={source}", *words)
    assert not found.missing and (found.step, found.seeds) == (128, 2)
    assert_seeds(got, source, range(len(next(iter(got.values())))))


def test_every_seed_begins_with_the_one_of_a_model(source, model):
    got, found = begun(f"init_from={model}", "seeds=3")
    assert not found.missing and found.seeds == 1
    assert_seeds(got, source, [1, 1, 1])


def test_what_does_not_fit_is_fresh_and_named(source):
    words = ["seeds=2", "agent.encoder=16"]
    got, found = begun(f"init_from={source}", *words)
    fresh = leaves.flatten(jax.vmap(job_of(*words).agent.policy_params)(build.init(job_of(*words))))
    there = [policies(source, seed) for seed in range(2)]
    taken = {path.removeprefix("params/") for path in found.arrays}
    missing = {path.removeprefix("params/"): why for path, why in found.missing.items()}
    assert missing and taken and taken | set(missing) == set(got) and not taken & set(missing)
    for path, leaf in got.items():
        wanted = np.stack([x[path] for x in there]) if path in taken else fresh[path]
        np.testing.assert_array_equal(leaf, wanted)
    assert any(why.endswith("128] there, [4, 16] here") for why in missing.values())
    lines = found.lines()
    assert f"{len(taken)} of {len(got)} arrays taken" in lines[0]
    said = "\n".join(lines)
    for path, why in found.missing.items():
        assert f"not taken: {path}: {why}" in said
    assert "  taken: params/network/params/actor_body (" in said


def test_statistics_are_taken_whole_or_not_at_all(tmp_path):
    source = untrained(tmp_path / "run", NORMAL).folder
    same = warm_start.load(job_of(f"init_from={source}", NORMAL))
    assert {"params/moments/count", "params/moments/mean"} <= set(same.arrays)
    # The observation is wider here: mean and squares have another shape, the count has not.
    wider = ["env.options.previous_action=true", NORMAL]
    found = warm_start.load(job_of(f"init_from={source}", *wider))
    assert found.missing["params/moments/count"] == "the rest of its statistics does not fit"
    assert not [path for path in found.arrays if "moments" in path]


def test_what_acting_does_not_need_is_missing_in_a_model(tmp_path):
    words = ["experiment=sac_debug"]
    source = untrained(tmp_path / "run", *words).folder
    export.export_model(source, tmp_path / "model")
    job = job_of(*words, f"init_from={tmp_path / 'model'}")
    found = warm_start.load(job)
    assert found.missing == {"learner/networks/log_temperature": "missing there"}
    assert not warm_start.load(job_of(*words, f"init_from={source}")).missing


BAD = [
    (["init_from=nowhere"], "no run folder 'nowhere'|no run folder '/.*/nowhere'"),
    (["init_from=."], "is not a run: it holds no config.yaml"),
    (["init_from="], "init_from must be a path, got ''"),
    (["init_from=SOURCE", "experiment=r2d2_debug"], "nothing in it fits this run. learner/network"),
    (["init_from=SOURCE", "seeds=3"], "has 2 seeds and this run 3"),
    (["init_form=SOURCE"], "Did you mean 'init_from'"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_a_bad_source_is_named_before_anything_is_made(
    source, words, message, tmp_path, monkeypatch
):
    def compiled(*_):
        raise AssertionError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build, "init", compiled)
    monkeypatch.setattr(build, "compile_chunk", compiled)
    words = [word.replace("SOURCE", str(source)) for word in words]
    with pytest.raises(InputError, match=message):
        loop.train(config.compose([*SMALL, "run.dir=new", *words]))
    assert not list(tmp_path.iterdir())


def test_a_damaged_source_is_read_as_far_as_it_is_sound(source, model, tmp_path, caplog):
    shutil.copytree(source, tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    shutil.copytree(next(checkpoints.glob("0*128")), checkpoints / f"{256:012d}")
    for path in (checkpoints / f"{256:012d}").rglob("*"):
        if path.is_file() and path.name != "index.json":
            path.write_bytes(b"\0" * path.stat().st_size)
    found = warm_start.load(job_of(f"init_from={tmp_path / 'run'}"))
    assert found.step == 128 and "skipped" in caplog.text
    for path in checkpoints.rglob("index.json"):
        path.write_text("{}")
    with pytest.raises(InputError, match="no readable checkpoint"):
        warm_start.load(job_of(f"init_from={tmp_path / 'run'}"))
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="is damaged or no safetensors file"):
        warm_start.load(job_of(f"init_from={tmp_path / 'model'}"))


def test_a_source_of_plug_ins_gives_its_weights_and_runs_no_code(source, tmp_path):
    shutil.copytree(source, tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    path.write_text(path.read_text().replace("name: s5", "name: /no/such/file.py:Core"))
    assert not warm_start.load(job_of(f"init_from={tmp_path / 'run'}")).missing


def test_a_killed_run_goes_on_without_its_source(source, tmp_path, monkeypatch, capsys):
    shutil.copytree(source, tmp_path / "source")
    words = ["experiment=debug", "seeds=2", f"run.dir={tmp_path / 'new'}"]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(build, "compile_chunk", killed)
        given = run_cli("train", *words, f"init_from={tmp_path / 'source'}")
    assert given == cli.INTERRUPTED
    said = capsys.readouterr().out
    assert f"init_from {tmp_path / 'source'}, step 128: 30 of 30" in said or "arrays taken" in said
    assert checkpoint.steps(tmp_path / "new" / "checkpoints") == [0]
    for seed in range(2):
        one, two = (policies(folder, seed) for folder in (tmp_path / "source", tmp_path / "new"))
        jax.tree.map(np.testing.assert_array_equal, one, two)
    shutil.rmtree(tmp_path / "source")
    assert run_cli("resume", tmp_path / "new") == cli.DONE
    assert checkpoint.steps(tmp_path / "new" / "checkpoints")[-1] == 512
    report = json.loads((tmp_path / "new" / "init_from.json").read_text())
    assert report["step"] == 128 and report["missing"] == {} and report["arrays"]
    after = policies(tmp_path / "new", 0)
    assert not all(np.array_equal(after[path], one[path]) for path in after)
    assert runs.open_run(tmp_path / "new").config.init_from == str(tmp_path / "source")


def test_a_run_killed_before_its_first_state_was_saved_asks_for_its_source(source, tmp_path):
    shutil.copytree(source, tmp_path / "source")
    composed = config.compose([*SMALL, f"run.dir={tmp_path / 'new'}", "seeds=2",
                               f"init_from={tmp_path / 'source'}"])  # fmt: skip
    run = runs.create(composed)
    shutil.rmtree(tmp_path / "source")
    with pytest.raises(InputError, match="no run folder"):
        loop.resume(run)
