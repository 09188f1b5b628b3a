"""A run as a model folder: it acts as the run does, its card says what is true, damage is named."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
import yaml

import rlseq
from rlseq import cli, config, plugins
from rlseq.errors import InputError
from rlseq.train import files, logging, memory, models
from rlseq.train.command import portable, train_command
from tests.cli.plugin_files import CORE
from tests.train.runs_at_once import untrained

STEPS = 6


def run_cli(*arguments):
    return cli.main([str(one) for one in arguments])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharing") / "run"  # the program of test_commands.py
    assert run_cli("train", "experiment=debug", f"run.dir={folder}", "seeds=2") == cli.DONE
    return folder


@pytest.fixture(scope="module")
def model(trained):
    folder = trained.parent / "model"
    given = ["--seed-index", 1, "--license", "Apache-2.0", "--stablehlo"]
    assert run_cli("export", trained, "--to", folder, *given) == cli.DONE
    return folder


@pytest.fixture
def copy(model, tmp_path):
    shutil.copytree(model, tmp_path / "model")
    return tmp_path / "model"


def played(policy, batch=3):
    """Carries and actions of some steps; row 0 begins anew in the middle."""
    obs = np.random.default_rng(0).integers(0, 4, (STEPS, batch))
    carry, found = None, []
    for t in range(STEPS):
        carry, action = policy(carry, obs[t], [t == 3, False, False])
        found.append((carry, action))
    return jax.tree.map(np.asarray, found)


def test_a_model_acts_as_the_seed_of_its_run(trained, model):
    wanted = played(rlseq.load_policy(trained, seed=1))
    jax.tree.map(np.testing.assert_array_equal, played(rlseq.load_policy(model)), wanted)
    other = played(rlseq.load_policy(trained, seed=0))
    assert not all(jax.tree.leaves(jax.tree.map(np.array_equal, wanted, other)))
    with pytest.raises(InputError, match="seed indices 0 to 0, got 1"):
        rlseq.load_policy(model, seed=1)
    with pytest.raises(InputError, match="is of step 512, not of step 256"):
        rlseq.load_policy(model, checkpoint=256)


def test_the_card_says_what_was_trained_and_scored(trained, model):
    text = (model / "README.md").read_text()
    header = yaml.safe_load(text.split("---\n")[1])
    assert header["library_name"] == "rlseq" and header["license"] == "apache-2.0"
    assert {"reinforcement-learning", "ppo", "s5", "popgym:RepeatPreviousEasy"} <= {*header["tags"]}
    rows = [row for row in logging.read(trained / logging.EPISODES) if row["seed"] == 1]
    assert logging.read(model / logging.EPISODES) == rows and len(rows) == 4
    returns = np.array([row["return"] for row in rows])
    [result] = header["model-index"][0]["results"]
    assert result["dataset"]["name"] == "popgym:RepeatPreviousEasy"
    assert result["metrics"][0]["type"] == "mean_reward"
    assert result["metrics"][0]["value"] == f"{returns.mean():.4g} +/- {returns.std():.2g}"
    assert f"| sampled | 4 | {returns.mean():.4g} | {returns.std(ddof=1) / 2:.2g} |" in text
    assert "number 1 of the 2 of its run" in text and f"| jax | {jax.__version__} |" in text
    commit = dict(line.split(": ", 1) for line in (trained / "env.txt").read_text().splitlines())
    assert f"Commit of rlseq: {commit['commit']}" in text
    assert "\nrlseq train experiment=debug core=s5 agent=ppo seeds=2\n" in text


def test_nothing_of_this_machine_is_in_a_model(model):
    saved = config.load(model / "config.yaml")
    assert (saved.seed, saved.seeds, saved.run.dir) == (1, 1, None)
    for path in model.iterdir():
        assert os.fsencode(str(model.parent)) not in path.read_bytes(), path.name


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=debug", "agent.lr=3e-5", "env.options.k=3", "core.layers=2", "run.chunks=7"],
        ["experiment=sac_debug", "env.preset=null", "core=gru", "agent.target_entropy=-1.5"],
        ["core=stack", "core.layers=[s5,gru]", "core.norm=pre_rms"],
    ],
    ids=lambda words: words[0],
)
def test_the_command_of_a_card_composes_the_same_configuration(words):
    wanted = config.compose([*words, "run.dir=/somewhere/else", "run.quiet=true"])
    command = train_command(wanted)
    assert command is not None and "/somewhere" not in command
    made = config.compose(shlex.split(command)[2:])
    assert portable(made) == portable(wanted)


def test_a_model_is_evaluated_and_exported_as_a_run_is(copy, tmp_path, capsys):
    assert run_cli("eval", copy, "--episodes", 4, "--eval-seed", 3) == cli.DONE
    assert "over 4 episodes" in capsys.readouterr().out.strip().split("\n")[-1]
    assert len(logging.read(copy / logging.EPISODES)) == 8
    assert run_cli("export", copy, "--to", tmp_path / "again") == cli.DONE
    header = (tmp_path / "again" / "README.md").read_text().split("---\n")[1]
    assert "8 episodes" in header and "license" not in header
    one, two = (models.read_weights(folder) for folder in (copy, tmp_path / "again"))
    assert one.step == two.step == 512
    jax.tree.map(np.testing.assert_array_equal, one.arrays, two.arrays)
    assert run_cli("export", copy, tmp_path / "w.npz") == cli.DONE
    capsys.readouterr()
    assert run_cli("resume", copy) == cli.BAD_INPUT
    assert "is a model, not a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either to a file OUT.npz or --to FOLDER"),
        (["w.npz", "--to", "x"], "either to a file OUT.npz or --to FOLDER"),
        (["w"], "ends in .npz, got 'w'; a folder to share is --to FOLDER"),
        (["w.npz", "--license", "mit"], "--license is of a model folder"),
        (["w.npz", "--stablehlo"], "--stablehlo is of a model folder"),
        (["--to", "x", "--license", "my own!"], "like apache-2.0 or mit, got 'my own!'"),
        (["--to", "x", "--batch", "2"], "--batch is of the program that --stablehlo writes"),
        (["--to", "x", "--seed-index", "2"], "seed indices 0 to 1, got 2"),
        (["--to", "x", "--checkpoint", "7"], "no checkpoint of step 7"),
        (["--to", "no/folder/x"], "no folder"),
    ],
)
def test_export_refuses_before_it_writes(
    trained, arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert run_cli("export", trained, *arguments) == cli.BAD_INPUT
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_model_is_there_whole_or_not_at_all(trained, copy, tmp_path, monkeypatch, capsys):
    before = {path: path.read_bytes() for path in copy.iterdir()}
    assert run_cli("export", trained, "--to", copy) == cli.BAD_INPUT
    assert "exists already and is not overwritten" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in copy.iterdir()}

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_atomic", full)
    assert run_cli("export", trained, "--to", tmp_path / "new") == cli.FAILED
    assert "no space left" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def touch(path):
    """Code that leaves a trace of having run."""
    return f"\nimport pathlib; pathlib.Path({str(path)!r}).touch()\n"


def flipped(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def other_features(path):
    path.write_text(path.read_text().replace("features: 8", "features: 16"))


def two_seeds(path):
    path.write_text(path.read_text().replace("seeds: 1", "seeds: 2"))


def foreign(path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(3, np.float32)}, path, {"format": "pt"})


DAMAGES = [
    ("model.safetensors", os.remove, "lacks model.safetensors"),
    ("config.yaml", os.remove, "lacks config.yaml"),
    ("model.safetensors", flipped, "is damaged: the checksum of its weights is wrong"),
    ("model.safetensors", cut, "is damaged or no safetensors file"),
    ("model.safetensors", foreign, "was not written by `rlseq export --to`"),
    ("config.yaml", cut, "config.yaml"),
    (
        "config.yaml",
        other_features,
        r"do not fit its config.yaml: network/params/\S+ is \[8, 128\]",
    ),
    ("config.yaml", two_seeds, "a model is the policy of one seed, got 2"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGES)
def test_what_is_wrong_with_a_model_is_named_before_anything_compiles(
    copy, name, damage, message, monkeypatch
):
    damage(copy / name)

    def compiled(*_):
        raise AssertionError

    monkeypatch.setattr(jax, "jit", compiled)
    with pytest.raises(InputError, match=message):
        rlseq.load_policy(copy)


def test_an_empty_folder_and_a_card_alone_are_told_apart(tmp_path):
    with pytest.raises(InputError, match=r"not a run: it holds no config\.yaml"):
        rlseq.load_policy(tmp_path)
    (tmp_path / "README.md").write_text("# mine")
    with pytest.raises(InputError, match=r"lacks config.yaml and model.safetensors"):
        rlseq.load_policy(tmp_path)


def test_a_model_with_a_plug_in_imports_it_only_when_named(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "_allowed", set())
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "my_leaky.py").write_text(CORE)
    word = f"core={tmp_path / 'made' / 'my_leaky.py'}:Leaky"
    run = untrained(tmp_path / "run", word)
    assert run_cli("export", run.folder, "--to", tmp_path / "model") == cli.DONE
    saved = (tmp_path / "model" / "config.yaml").read_text()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "name: my_leaky.py:Leaky" in saved and str(tmp_path) not in saved + card
    assert "`my_leaky.py`" in card and "core=my_leaky.py:Leaky" in card
    wanted = played(rlseq.load_policy(run.folder))

    shutil.rmtree(tmp_path / "made")
    (tmp_path / "got").mkdir()
    (tmp_path / "got" / "my_leaky.py").write_text(CORE + touch(tmp_path / "ran"))
    monkeypatch.setattr(plugins, "_allowed", set())
    monkeypatch.delitem(sys.modules, "my_leaky")
    monkeypatch.chdir(tmp_path / "got")
    with pytest.raises(InputError, match=r"is not part of rlseq: core=my_leaky\.py:"):
        rlseq.load_policy(tmp_path / "model")
    assert not (tmp_path / "ran").exists()
    policy = rlseq.load_policy(tmp_path / "model", plugins=["my_leaky.py"])
    assert (tmp_path / "ran").exists()
    jax.tree.map(np.testing.assert_array_equal, played(policy), wanted)


def test_an_id_that_gymnasium_would_import_a_module_for_is_a_plug_in(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "_allowed", set())
    (copy / "evil_module.py").write_text(touch(tmp_path / "ran"))
    monkeypatch.syspath_prepend(copy)  # as `python -c` in the folder has it
    path, evil = copy / "config.yaml", "gymnasium:evil_module:X"
    path.write_text(path.read_text().replace("popgym:RepeatPreviousEasy", evil))
    for read in (lambda: rlseq.load_policy(copy), lambda: config.load(path)):
        with pytest.raises(InputError, match=f"is not part of rlseq: env.id={evil}"):
            read()
    assert not (tmp_path / "ran").exists() and "evil_module" not in sys.modules


ALONE = """
import json, sys
for name in ("rlseq", "flax", "optax", "gymnax", "hydra", "orbax"):
    sys.modules[name] = None
import jax, numpy as np
from jax import export
from safetensors.numpy import load_file

step = jax.jit(export.deserialize(bytearray(open("policy.stablehlo", "rb").read())).call)
about = json.load(open("policy.json"))
weights = load_file("model.safetensors")
seen = np.random.default_rng(0).integers(0, 4, (6, 3)).astype(np.int32)
inputs = about["inputs"]
assert {name: (list(x.shape), x.dtype.name) for name, x in weights.items()} == {
    name: (x["shape"], x["dtype"]) for name, x in inputs["weights"].items()}
carry = {name: np.zeros([3, *x["shape"][1:]], x["dtype"]) for name, x in inputs["carry"].items()}
key, found = np.zeros(2, np.uint32), {}
for t in range(6):
    reset = np.array([t in (0, 3), t == 0, t == 0])
    carry, action = step(weights, carry, {"obs": seen[t]}, reset, key, np.True_)
    found |= {f"{t}/{name}": x for name, x in (carry | action).items()}
np.savez("found.npz", **found)
"""


def test_the_program_of_a_model_needs_jax_and_safetensors_alone(trained, copy, tmp_path):
    about = json.loads((copy / "policy.json").read_text())
    assert about["platforms"] == ["cpu", "cuda"] and about["batch"] == "B"
    assert about["inputs"]["obs"] == {"obs": {"shape": ["B"], "dtype": "int32"}}
    assert about["outputs"]["action"] == {"action": {"shape": ["B"], "dtype": "int32"}}
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(copy / "found.npz") as found:
        for t, (carry, action) in enumerate(played(rlseq.load_policy(trained, seed=1))):
            np.testing.assert_array_equal(found[f"{t}/action"], action)
            leaves = jax.tree.leaves(carry)
            names = [name for name in found if name.startswith(f"{t}/carry")]
            assert len(names) == len(leaves) > 0
            for name, leaf in zip(names, leaves, strict=True):
                np.testing.assert_allclose(found[name], leaf, rtol=1e-5, atol=1e-6)


def test_a_program_for_a_fixed_batch_says_so(trained, tmp_path, monkeypatch, capsys):
    given = ["--stablehlo", "--batch", 4]
    assert run_cli("export", trained, "--to", tmp_path / "m", *given) == cli.DONE
    about = json.loads((tmp_path / "m" / "policy.json").read_text())
    assert about["batch"] == 4 and about["inputs"]["reset"] == {"shape": [4], "dtype": "bool"}
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    capsys.readouterr()
    assert run_cli("export", trained, "--to", tmp_path / "n", "--stablehlo") == cli.BAD_INPUT
    assert "pip install 'rlseq[hub]'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_policy_that_needs_a_known_batch_is_refused_with_the_way_out(
    trained, tmp_path, monkeypatch, capsys
):
    from rlseq.agents.ppo import PPO

    act = PPO.act

    def odd(self, params, carry, obs, reset, key, *, greedy=False):
        assert obs.shape[0] % 2 == 0
        return act(self, params, carry, obs, reset, key, greedy=greedy)

    monkeypatch.setattr(PPO, "act", odd)
    assert run_cli("export", trained, "--to", tmp_path / "m", "--stablehlo") == cli.BAD_INPUT
    assert "this policy makes no StableHLO program: " in (said := capsys.readouterr().err)
    assert "--batch 1" in said and not list(tmp_path.iterdir())


def test_only_acting_needs_less_memory_than_training(model, monkeypatch):
    def refused(_):
        raise AssertionError

    monkeypatch.setattr(memory, "check", refused)
    assert rlseq.load_policy(model)(None, 1)[1].shape == ()
