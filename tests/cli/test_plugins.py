"""Cores, agents and environments of the user's own, by module or file, on the command line."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq import cli, config, plugins, registry
from rlseq.errors import InputError
from rlseq.train import build, logging, loop, runs
from rlseq.train.files import CannotWrite
from tests.cli.plugin_files import CORE, ENV, LOGGER, REGISTERS
from tests.packaging.tree import ROOT

REINFORCE = ROOT / "examples" / "reinforce.py"
MODULES = {"leaky": CORE, "names": ENV, "adds": CORE + REGISTERS, "lines": LOGGER}


def write(folder: Path) -> Path:
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with plug-ins as the current one, and no trace of them afterwards."""
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(plugins, "_allowed", set())
    yield tmp_path
    for name in (*MODULES, *WRONG, "lacks", "reinforce"):
        sys.modules.pop(name, None)


def run_cli(*arguments: object) -> int:
    return cli.main([str(one) for one in arguments])


def fresh(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """A command in a process of its own, by the installed script: it has no folder on its path."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir)}
    cache["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    command = [str(Path(sys.executable).with_name("rlseq")), *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | cache, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run of a core, an agent and an environment of one's own, made in another process."""
    folder = write(tmp_path_factory.mktemp("own"))
    words = ["core=leaky:Leaky", "core.leak=0.25", f"agent={REINFORCE}:Reinforce"]
    words += ["env.id=names.py:Name", "env.options.length=5", "env.num_envs=4", "total_steps=64"]
    words += ["agent.num_steps=8", "agent.encoder=4", "agent.head=4", "core.features=4"]
    words += ["run.eval_episodes=4", "run.chunks=2", "run.dir=run"]
    done = fresh("train", *words, cwd=folder)
    assert done.returncode == cli.DONE, done.stderr
    assert f"rlseq eval run --plugins {','.join(parts_of(folder))}" in done.stderr + done.stdout
    return folder / "run"


def parts_of(folder: Path) -> list[str]:
    return [f"{folder}/leaky.py", str(REINFORCE), f"{folder}/names.py"]


def test_a_run_of_ones_own_parts_goes_on_in_another_process_and_folder(trained, folder):
    raw = config.config_yaml.read(trained / "config.yaml")
    files = parts_of(trained.parent)
    names = [raw["core"]["name"], raw["agent"]["name"], raw["env"]["id"]]
    assert names == [f"{files[0]}:Leaky", f"{REINFORCE}:Reinforce", f"{files[2]}:Name"]
    assert raw["core"]["leak"] == 0.25

    refused = fresh("resume", trained, "--total-steps", 128, cwd=folder)
    assert refused.returncode == cli.BAD_INPUT and refused.stderr.count("\n") == 1
    assert all(name in refused.stderr for name in names)
    flag = refused.stderr.split("add ")[1].split(" to the command")[0].split()
    assert flag == ["--plugins", ",".join(files)]
    done = fresh("resume", trained, "--total-steps", 128, *flag, cwd=folder)
    assert done.returncode == cli.DONE, done.stderr
    assert logging.read(trained / "metrics.jsonl")[-1]["step"] == 128


def test_a_run_of_ones_own_parts_is_read_only_with_leave(trained, folder, capsys):
    files = parts_of(trained.parent)
    for given in ([], files[:1], files[1:]):
        plugins._allowed.clear()
        with pytest.raises(InputError, match="names code that is not part of rlseq") as refused:
            rlseq.load_policy(trained, plugins=given)
        assert all((f"={one}:" in str(refused.value)) == (one not in given) for one in files)
    plugins._allowed.clear()
    for command in ("resume", "eval", "plot", "export OUT.npz", "record --out OUT.npz"):
        name, *rest = command.split()
        assert run_cli(name, trained, *rest) == cli.BAD_INPUT
        assert f"--plugins {','.join(files)}" in capsys.readouterr().err

    policy = rlseq.load_policy(trained, plugins=files)
    _, action = policy(None, jnp.asarray([0, 1], jnp.int32))
    assert action.shape == (2,)
    plugins._allowed.clear()
    flag = ["--plugins", files[0], "--plugins", ",".join(files[1:])]
    assert run_cli("eval", trained, "--episodes", 4, *flag) == cli.DONE
    assert "over 4 episodes" in capsys.readouterr().out
    rows = logging.read(trained / "episodes.jsonl")
    assert len(rows) >= 8 and {row["length"] for row in rows} == {5}  # env.options.length
    assert run_cli("plot", trained, "--out", folder, *flag) == cli.DONE


def test_registered_names_of_listed_modules_are_found(folder, capsys):
    words = ["experiment=debug", "run.plugins=[adds.py]", "core=mine", "core.leak=1"]
    composed = config.compose(words)
    assert composed.core["name"] == "mine" and composed.run.plugins == [f"{folder}/adds.py"]
    (folder / "config.yaml").write_text(config.to_yaml(composed))
    assert config.load(folder / "config.yaml") == composed
    plugins._allowed.clear()
    del registry.TABLES["core"]["mine"], sys.modules["adds"]
    with pytest.raises(InputError, match=f"run.plugins: {folder}/adds.py"):
        config.load(folder / "config.yaml")
    assert "mine" not in registry.names("core")
    plugins.allow("adds")
    assert config.load(folder / "config.yaml") == composed
    # In a stack its registered name is one of the layers.
    assert config.compose(["core=stack", "core.layers=[mine,gru]"]).core["layers"][0] == "mine"
    assert run_cli("list", "cores", "--plugins", "adds,leaky.py") == cli.DONE
    listed = capsys.readouterr().out
    assert "\nmine " in listed and f"\n{folder}/leaky.py:Leaky  Adds up what it reads" in listed


LAYERS = ["core=stack", f"core.layers=[gru,./leaky.py:Leaky{3 * ',leaky:Leaky'}]"]


def test_layers_of_a_stack_are_named_like_cores(folder):
    composed = config.compose(["experiment=debug", *LAYERS, "core.features=4"])
    own = f"{folder}/leaky.py:Leaky"
    assert composed.core["layers"] == ["gru", *[own] * 4]
    again = ["core=leaky:Leaky", "env.id=names:Name", "run.loggers=[lines:Lines]"]
    for _ in range(3):  # a module that was imported is still called by its file
        named = config.compose(["experiment=debug", *again])
        assert named.core["name"] == own and named.env.id == f"{folder}/names.py:Name"
        assert named.run.loggers == [f"{folder}/lines.py:Lines"]
    (folder / "config.yaml").write_text(config.to_yaml(composed))
    assert config.load(folder / "config.yaml") == composed
    build.build(composed)
    plugins._allowed.clear()
    with pytest.raises(InputError, match=rf"core.layers: {own}.*--plugins {folder}/leaky.py to"):
        config.load(folder / "config.yaml")


def test_a_logger_of_ones_own_gets_the_rows_of_a_run(folder, capsys):
    words = ["experiment=debug", "run.quiet=true", "run.eval_episodes=0", "run.dir=run"]
    words += ["core=mlp", "run.loggers=[tensorboard,lines:Lines]", "total_steps=128"]
    assert run_cli("train", *words) == cli.DONE
    plugins._allowed.clear()
    assert run_cli("resume", "run", "--total-steps", 256) == cli.BAD_INPUT
    said = capsys.readouterr().err
    assert f"run.loggers: {folder}/lines.py:Lines" in said
    flag = ["--plugins", f"{folder}/lines.py"]
    assert " ".join(flag) in said
    assert run_cli("resume", "run", "--total-steps", 256, *flag) == cli.DONE
    rows = logging.read(folder / "run/metrics.jsonl")
    first, *lines = (folder / "run/lines.txt").read_text().split("\n")[:-1]
    assert [first, lines.pop(2)] == ["from 0 of 128", "from 128 of 256"]
    assert [int(line.split()[0]) for line in lines] == [row["step"] for row in rows]
    assert {"return", "seconds", "loss/value"} <= {*lines[-1].split()[1].split(",")}
    assert list((folder / "run/tensorboard").glob("events*"))


def test_loggers_are_registered_and_listed_like_other_parts(folder, capsys):
    rlseq.register("logger", "mine", "lines:Lines")
    plugins.allow("lines")
    composed = config.compose(["experiment=debug", "run.loggers=[mine]"])
    assert composed.run.loggers == ["mine"]
    assert run_cli("list", "loggers", "--plugins", "lines") == cli.DONE
    listed = capsys.readouterr().out
    assert re.search(r"\ntensorboard +Event files in the run folder", listed)
    assert re.search(rf"\n{folder}/lines.py:Lines +A line for each row in `lines.txt`\n", listed)
    assert "Mute" not in listed


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lines:Mute", "lines.py:Mute' lacks close: see rlseq.train.logging.Logger"),
        ("lines:function", "lines.py:function' is no class"),
        ("lines:Absent", "lines.py has no 'Absent'. It has: Lines, Mute, Broken"),
        ("nowhere:Lines", "there is no module 'nowhere'"),
        ("trackyo", "unknown logger in run.loggers 'trackyo'. Did you mean 'trackio'"),
    ],
)
def test_a_logger_that_does_not_fit_is_named_before_anything_is_built(name, said, folder, capsys):
    assert run_cli("train", "experiment=debug", f"run.loggers=[{name}]") == cli.BAD_INPUT
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (folder / "runs").exists()


def test_a_logger_that_cannot_start_is_named(folder, capsys):
    words = ["experiment=debug", "core=mlp", "run.loggers=[lines:Broken]"]
    assert run_cli("train", *words) == cli.BAD_INPUT
    assert "lines.py:Broken' cannot start: no such server; take it" in capsys.readouterr().err


def test_what_continues_a_run_names_its_plug_ins(folder, monkeypatch):
    words = ["experiment=debug", *LAYERS, "run.quiet=true", "run.dir=run", "env.id=names:Name"]
    job = build.build(config.compose(words))
    flag = f" --plugins {folder}/leaky.py,{folder}/names.py"
    run = runs.create(job.config).folder
    stop = loop.Stop()
    stop.requested = True
    monkeypatch.setattr(build, "compile_chunk", lambda job: None)
    with pytest.raises(loop.Interrupted) as stopped:
        loop.drive(job, run, stop)
    assert str(stopped.value).endswith(f"continue with: rlseq resume run{flag}")

    def amid_a_chunk(state):
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "compile_chunk", lambda job: amid_a_chunk)
    with pytest.raises(loop.Interrupted) as stopped:
        loop.drive(job, run)
    assert str(stopped.value).endswith(f"continue with: rlseq resume run{flag}")

    def full(state):
        raise CannotWrite("no space")

    monkeypatch.setattr(build, "compile_chunk", lambda job: full)
    with pytest.raises(CannotWrite) as stopped:
        loop.drive(job, run)
    assert str(stopped.value).endswith(f"and continues with: rlseq resume run{flag}")


def test_a_sweep_takes_plug_ins(folder, monkeypatch):
    made = []
    monkeypatch.setattr(loop, "train", made.append)
    words = ["core=gru,leaky:Leaky", "env.id=names:Name,probe:Recall", "run.plugins=[adds]"]
    words += ["run.loggers=[lines:Lines]"]
    assert run_cli("train", "-m", "experiment=debug", *words, "run.root=here") == cli.DONE
    assert [(one.core["name"], one.env.id) for one in made] == [
        (core, env)
        for core in ("gru", f"{folder}/leaky.py:Leaky")
        for env in (f"{folder}/names.py:Name", "probe:Recall")
    ]
    assert all(one.run.plugins == [f"{folder}/adds.py"] for one in made)
    assert all(one.run.loggers == [f"{folder}/lines.py:Lines"] for one in made)
    assert {one.run.experiment for one in made} == {"debug"}
    made.clear()
    words = ["core=stack", "core.layers=[gru],[leaky:Leaky,gru]", "run.root=there"]
    assert run_cli("train", "-m", "experiment=debug", *words) == cli.DONE
    layers = [one.core["layers"] for one in made]
    assert layers == [["gru"], [f"{folder}/leaky.py:Leaky", "gru"]]


def test_a_sweep_keeps_what_hydra_does_not_parse(folder, monkeypatch):
    made = []
    monkeypatch.setattr(loop, "train", made.append)
    words = ["experiment=popgym_decision", "agent.data=a, b.npz", "seed=0,1", "run.root=here"]
    assert run_cli("train", "-m", *words) == cli.DONE
    assert [(one.agent["data"], one.seed) for one in made] == [
        (f"{folder}/a, b.npz", seed) for seed in (0, 1)
    ]


def test_listing_environments_and_agents_of_a_module(capsys):
    assert run_cli("list", "envs", "--plugins", "names") == cli.DONE
    last = capsys.readouterr().out.split("\n")[-2]
    assert last.endswith("names.py:Name  Name the number that is shown, `length` times")
    assert run_cli("list", "agents", "--plugins", REINFORCE) == cli.DONE
    assert "reinforce.py:Reinforce  One step a rollout" in capsys.readouterr().out


def test_a_module_is_called_the_same_from_everywhere(folder, monkeypatch):
    assert plugins.canonical("leaky") == plugins.canonical("./leaky.py") == f"{folder}/leaky.py"
    assert plugins.canonical("json") == "json" and plugins.canonical("xml.dom") == "xml.dom"
    monkeypatch.syspath_prepend(str(folder))  # as `python -m rlseq` has it
    assert plugins.canonical("leaky") == f"{folder}/leaky.py"
    plugins.allow("leaky")
    assert plugins.allowed("leaky") and plugins.allowed(f"{folder}/leaky.py")
    monkeypatch.chdir("/")
    assert plugins.canonical("leaky") == "leaky"
    monkeypatch.setenv("HOME", str(folder))
    assert plugins.canonical("~/leaky.py") == f"{folder}/leaky.py"


def test_an_environment_is_what_make_env_builds(folder):
    env_id = registry.take("env", "names:Name")
    env = rlseq.make_env(env_id, num_envs=3, length=4)
    state, ts = env.reset(jax.random.key(0))
    state, after = env.step(state, ts.obs, jax.random.key(1))
    np.testing.assert_array_equal(after.reward, np.ones(3, np.float32))
    assert env.spec.max_steps == 4
    with pytest.raises(InputError, match=r"length must be at most 100"):
        rlseq.make_env(env_id, length=101)


# Name -> (text of a file, what is said of the words that name it).
WRONG = {
    "absent": (
        "import no_such_package\n",
        "ModuleNotFoundError: No module named 'no_such_package'",
    ),
    "broken": ("def f(:\n", "SyntaxError: invalid syntax (broken.py, line 1); so the plug-in"),
    "raises": ("\nraise ValueError('two\\nlines')\n", "ValueError: two ("),
    "leaves": ("import sys\nsys.exit(3)\n", "SystemExit: 3 ("),
    "empty": ("", "empty.py has no 'Mine'. It has: nothing"),
    "other": ("class Yours: pass\n", "other.py has no 'Mine'. It has: Yours"),
}


@pytest.mark.parametrize("key", ["core", "agent", "world_model", "env.id"])
@pytest.mark.parametrize("name", WRONG)
def test_faults_of_a_plug_in_are_told_in_one_line(key, name, folder, capsys):
    text, said = WRONG[name]
    (folder / f"{name}.py").write_text(text)
    assert run_cli("plan", f"{key}={name}:Mine") == cli.BAD_INPUT
    error = capsys.readouterr().err
    if key == "env.id" and name in ("empty", "other"):
        said = f"unknown {folder}/{name}.py environment 'Mine'"
    assert error.count("\n") == 1 and error.startswith(
        f"rlseq: {said}" if "." not in said[:9] else ""
    )
    assert said in error
    assert name not in sys.modules or name in ("empty", "other")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["core=no_such:Mine"], "there is no module 'no_such', nor no_such.py in this folder"),
        (["core=no/such.py:Mine"], "there is no file 'no/such.py'"),
        (["core=leaky:"], "a plug-in reads 'my_module:Mine' or"),
        (["core=leaky:Leaky", "core.leak=2"], "core.leak must be at most 1, got 2"),
        (["core=leaky:Leaky", "core.leek=2"], "Did you mean 'core.leak'"),
        (["core=names:Name"], "lacks the class flax.linen.Module among its bases"),
        (["agent=leaky:Leaky"], "Leaky' lacks Config, needs_world_model, update_steps"),
        (["world_model=leaky:Leaky"], "Leaky' lacks Config, presets"),
        (["env.id=names:run"], "unknown"),
        (["env.id=names:State"], "names.py:State lacks the class rlseq.envs.base.Env"),
        (["env.id=popgm:Name"], "unknown env 'popgm'. Did you mean 'popgym'"),
        (["run.plugins=adds.py"], "run.plugins must be a list like [my_module,path/file.py]"),
        (["run.plugins=[nowhere]"], "there is no module 'nowhere'"),
        (["core=json/decoder.py:Mine"], "there is no file"),
    ],
)
def test_what_does_not_fit_is_named(words, said, folder, capsys):
    assert run_cli("plan", "experiment=debug", *words) == cli.BAD_INPUT
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_what_a_core_lacks_is_named(folder, capsys):
    text = CORE.replace("def step", "def stop").replace(
        '    block: ClassVar[dict] = {"layers": 1}\n', ""
    )
    (folder / "lacks.py").write_text(text.replace("Range(0, 1)] = 0.5", "Range(0, 1)]"))
    assert run_cli("plan", "experiment=debug", "core=lacks:Leaky") == cli.BAD_INPUT
    assert "lacks block, step, a default of leak: see rlseq.cores" in capsys.readouterr().err


def test_a_file_that_would_hide_a_module_is_refused(folder, capsys):
    (folder / "json.py").write_text(CORE)
    assert run_cli("plan", "core=./json.py:Leaky") == cli.BAD_INPUT
    assert "json.py is called as" in capsys.readouterr().err


HOSTILE = [
    {"core": {"name": "posix:system"}},
    {"env": {"id": "subprocess:run", "options": {"args": "touch hit"}}},
    {"env": {"id": "names.py:Name"}},
    {"run": {"plugins": ["leaky"]}},
    {"run": {"plugins": ["hit.py"]}},
    {"agent": {"name": "hit.py:Mine"}},
    {"core": {"name": "stack", "layers": ["hit.py:Mine"]}},
    {"run": {"loggers": ["hit.py:Mine"]}},
    {"run": {"loggers": ["posix:system"]}},
]


@pytest.mark.parametrize("part", HOSTILE, ids=str)
def test_nothing_that_a_strangers_folder_names_is_imported(part, folder):
    (folder / "hit.py").write_text("open('hit', 'w').close()")
    raw = config.config_yaml.read(_saved(folder))
    for group, values in part.items():
        raw[group] = {**raw[group], **values}
    (folder / "config.yaml").write_text(config.OmegaConf.to_yaml(raw))
    with pytest.raises(InputError, match="names code that is not part of rlseq"):
        rlseq.load_policy(folder)
    assert not (folder / "hit").exists() and "names" not in sys.modules


def _saved(folder: Path) -> Path:
    path = folder / "config.yaml"
    path.write_text(config.to_yaml(config.compose(["experiment=debug"])))
    return path


def test_an_id_of_a_plug_in_builds_environments_and_calls_nothing_else(folder):
    plugins.allow("names")
    registry.take("env", "names:Name")
    with pytest.raises(InputError, match=r"unknown .*names.py environment 'run'"):
        rlseq.make_env(f"{folder}/names.py:run", length=1)


@pytest.fixture
def installed(folder, monkeypatch):
    """Entry points as those of an installed package; a list to add them to."""
    points = []
    monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: tuple(points))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir("/")
    registry._add_entry_points.cache_clear()
    yield points
    registry._add_entry_points.cache_clear()


def point(name: str, target: str) -> metadata.EntryPoint:
    return metadata.EntryPoint(name, target, "rlseq")


def test_names_of_installed_packages_need_no_leave(installed, folder, capsys):
    installed += [point("core.leaky", "leaky:Leaky"), point("core.broken", "no_such_package:Core")]
    composed = config.compose(["experiment=debug", "core=leaky", "core.leak=1"])
    assert composed.core["name"] == "leaky"
    (folder / "config.yaml").write_text(config.to_yaml(composed))
    assert config.load(folder / "config.yaml") == composed
    assert run_cli("list", "cores") == cli.DONE
    assert re.search(r"\nleaky +A leaky sum \(plug-in leaky:Leaky\)\n", capsys.readouterr().out)
    # One that cannot be imported says so where it is asked for, and nowhere else.
    assert run_cli("plan", "core=broken") == cli.BAD_INPUT
    assert "ModuleNotFoundError: No module named 'no_such_package'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("core.gru", "leaky:Leaky", "which is 'rlseq.cores.gru:GRU' already"),
        ("cores.leaky", "leaky:Leaky", "KIND one of core, env, agent, world_model"),
        ("leaky", "leaky:Leaky", "reads KIND.NAME = 'module:attribute'"),
        ("core.leaky", "leaky", "reads KIND.NAME = 'module:attribute'"),
    ],
)
def test_entry_points_that_do_not_fit_are_named(name, target, said, installed, capsys):
    installed.append(point(name, target))
    assert run_cli("list", "cores") == cli.BAD_INPUT
    assert said in capsys.readouterr().err


def test_names_that_are_registered_hold_no_colon():
    with pytest.raises(InputError, match=r"a registered name has no ':' and no ',', got 'a:b'"):
        rlseq.register("core", "a:b", "leaky:Leaky")
