"""Every YAML composes, every core goes on every experiment, and mistakes are named."""

import importlib.resources
from pathlib import Path

import pytest

from rlseq import config, registry
from rlseq.errors import InputError
from rlseq.train import build
from tests import kinds

SMALL = ("debug", "drama_debug", "r2d2_debug", "sac_debug", "stream_debug")
CONFIGS = Path(str(importlib.resources.files("rlseq.configs")))


def presets(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def test_every_yaml_is_covered_here():
    groups = {path.parent.name for path in CONFIGS.rglob("*.yaml")} - {CONFIGS.name}
    assert groups <= {"experiment", "core", "agent", "env", "run", "world_model"}


@pytest.mark.parametrize("name", presets("experiment"))
def test_every_experiment_composes_and_builds(name):
    composed = config.compose([f"experiment={name}"])
    job = build.build(composed)
    assert job.schedule.steps >= composed.total_steps
    assert job.schedule.chunks <= composed.run.chunks


@pytest.mark.parametrize("group", ["core", "agent", "env", "run"])
def test_every_preset_of_a_group_composes(group):
    for name in presets(group):
        build.build(config.compose([f"{group}={name}"]))


def goes_on(core, experiment):
    # Images without an emulator, which takes long to start.
    images = ["env.id=probe:Catch", "env.preset=null"] if experiment.startswith("atari") else []
    composed = config.compose([f"experiment={experiment}", f"core={core}", *images])
    assert composed.core["name"] == core
    build.build(composed)


@pytest.mark.parametrize("core", registry.names("core"))
def test_every_core_goes_on_an_experiment_of_each_agent(core):
    for name in SMALL:
        goes_on(core, name)


@pytest.mark.parametrize("core", kinds.cores(("mamba2",)))
def test_every_core_goes_on_every_larger_experiment(core):
    for name in presets("experiment"):
        if name not in SMALL:
            goes_on(core, name)


def test_the_command_line_wins_over_experiments_and_they_over_presets():
    assert config.compose(["experiment=debug"]).core["features"] == 8
    composed = config.compose(["experiment=debug", "core=gru", "core.features=5", "seeds=2"])
    assert composed.core["features"] == 5 and composed.seeds == 2
    assert config.compose(["core=s5_popjaxrl"]).core["state_size"] == 256


def test_a_core_of_several_kinds_of_layers(tmp_path):
    composed = config.compose(["core=stack", "core.layers=[gru,min_gru,gru]", "core.gate=gtrxl"])
    assert composed.core["layers"] == ["gru", "min_gru", "gru"]
    (tmp_path / "config.yaml").write_text(config.to_yaml(composed))
    assert config.load(tmp_path / "config.yaml") == composed
    build.build(composed)


def test_presets_of_world_models_are_options_of_their_group(tmp_path):
    composed = config.compose(["experiment=minatar100k_drama", "world_model.latents=3"])
    assert composed.world_model["name"] == "drama" and composed.world_model["latents"] == 3
    assert composed.world_model["encoder"] == "patch"  # of nano
    assert config.compose(["world_model=drama_xs"]).world_model["encoder"] == "conv"
    assert config.compose([]).world_model == {"name": "none"}
    (tmp_path / "config.yaml").write_text(config.to_yaml(composed))
    assert config.load(tmp_path / "config.yaml") == composed


def test_numbers_are_read_as_people_write_them():
    assert config.compose(["total_steps=1e6"]).total_steps == 1_000_000
    assert config.compose(["agent.lr=1e-4"]).agent["lr"] == 1e-4
    assert config.compose(["env.options.k=3"]).env.options == {"k": 3}
    assert config.compose(["run.mesh=seed=2,env=2"]).run.mesh == "seed=2,env=2"


def test_what_is_saved_reads_back_the_same(tmp_path):
    composed = config.compose(["core=gru", "env.options.k=3", "run.loggers=[tensorboard]"])
    (tmp_path / "config.yaml").write_text(config.to_yaml(composed))
    assert config.load(tmp_path / "config.yaml") == composed


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("core=s6", "unknown core 's6'. Did you mean 's5'"),
        ("experiment=quickstar", "Did you mean 'quickstart'"),
        ("agent=pppo", "Did you mean 'ppo'"),
        ("agent.lrr=1", "unknown key 'agent.lrr'. Did you mean 'agent.lr'"),
        ("run.chunk=3", "Did you mean 'run.chunks'"),
        ("env.idd=x", "Did you mean 'env.id'"),
        ("experimen=debug", "Did you mean 'experiment'"),
        ("seed_s=2", "Did you mean 'seeds'"),
        ("agent.lr=fast", "agent.lr must be a finite number, got 'fast'"),
        ("core.features=2.5", "core.features must be a whole number, got 2.5"),
        ("run.loggers=tensorboard", "run.loggers must be a list of names"),
        ("total_steps=1.5", "whole number"),
        ("total_steps=0", "total_steps must be at least 1, got 0"),
        ("seeds=0", "seeds must be at least 1, got 0"),
        ("env.num_envs=0", "env.num_envs must be at least 1"),
        ("+new=1", "write key=value"),
        ("~core", "write key=value"),
        ("core", "core"),
        ("agent=null", "unknown agent None"),
        ("world_model=nanno", "Did you mean 'nano'"),
        ("a b==", "a b=="),
        ("core=gru,lstm", "-m"),
    ],
)
def test_mistakes_are_named(override, message):
    with pytest.raises(InputError) as raised:
        config.compose([override])
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["total_steps=100"], "less than one update, which takes 8192"),
        (["agent.num_steps=0"], "agent.num_steps must be at least 1"),
        (["agent.minibatches=7"], "agent.minibatches must divide env.num_envs = 64"),
        (["env.id=popgym:RepeatPreviousEas"], "RepeatPreviousEasy"),
        (["env.options.kk=3"], "unknown option"),
        (["core.features=0"], "features must be at least 1"),
        (["agent=imagination"], "needs a world model: world_model=drama"),
        (["world_model=nano"], "agent 'ppo' has no world model"),
        (["experiment=drama_debug", "agent.capacity=2000000000"], "of which replay"),
        (["experiment=drama_debug", "agent.length=300"], "agent.length = 300 is longer"),
        (["core=stack", "core.layers=[gru,ltsm]"], "unknown core 'ltsm'. Did you mean 'lstm'"),
    ],
)
def test_what_the_parts_refuse_is_refused_before_anything_starts(overrides, message):
    with pytest.raises(InputError) as raised:
        build.build(config.compose(overrides))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("total", "per_update", "chunks", "expected"),
    [
        (512, 64, 4, (2, 4)),
        (513, 64, 4, (3, 3)),
        (64, 64, 100, (1, 1)),
        (1_200_000, 8192, 100, (2, 74)),
    ],
)
def test_schedules_are_whole_chunks_that_reach_the_total(total, per_update, chunks, expected):
    schedule = build.make_schedule(total, per_update, chunks)
    assert (schedule.chunk, schedule.chunks) == expected
    assert total <= schedule.steps < total + schedule.chunk_steps
