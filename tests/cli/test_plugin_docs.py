"""docs/plugins.md: its files are written as they stand there and its commands are run."""

import csv
import shlex
import shutil
import sys

import jax
import numpy as np
import pytest

import rlseq
from rlseq import cli, config, plugins, registry
from rlseq.train import build, logging
from tests.packaging import markdown
from tests.packaging.tree import ROOT

PAGE = ROOT / "docs" / "plugins.md"
BLOCKS = markdown.blocks(PAGE)
FILES = {
    block.text.split("\n")[0].removeprefix("# "): block.text
    for block in BLOCKS
    if block.language == "python"
}
LINES = [line for block in BLOCKS if not block.language for line in block.text.split("\n")]
COMMANDS = [shlex.split(line)[1:] for line in LINES]
# Of every run that is trained or built here: as small as it goes.
SMALL = ["core.features=4", "env.num_envs=8", "run.quiet=true", "run.chunks=2"]
TINY = [*SMALL, "run.eval_episodes=4", "total_steps=64"]
TINY += ["agent.num_steps=8", "agent.encoder=4", "agent.head=4"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "examples" / "reinforce.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_allowed", set())
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("my_core", "my_twin", "my_env", "my_model", "my_logger", "reinforce"):
        sys.modules.pop(name, None)


def commands(first: str) -> list[list[str]]:
    return [words for words in COMMANDS if words[0] == first]


def test_the_page_has_a_file_of_each_kind_and_only_commands_of_ours():
    assert list(FILES) == [
        "my_core.py", "my_twin.py", "my_env.py", "my_model.py", "my_logger.py",
    ]  # fmt: skip
    assert [words[0] for words in COMMANDS] == [
        "train", "resume", "eval", "check", "train", "train", "check", "train", "train", "train",
        "check", "train", "train",
    ]  # fmt: skip


def test_the_run_of_all_of_them_trains_goes_on_and_evaluates(folder, capsys):
    train, resume, evaluate = COMMANDS[:3]
    assert cli.main([*train, *TINY]) == cli.DONE
    plugins._allowed.clear()
    assert cli.main([*resume[:2], "--total-steps", "128", *resume[-2:]]) == cli.DONE
    assert logging.read(folder / "runs/mine/metrics.jsonl")[-1]["step"] == 128
    plugins._allowed.clear()
    assert cli.main(evaluate[:2]) == cli.BAD_INPUT
    assert cli.main([*evaluate, "--episodes", "4"]) == cli.DONE
    assert "over 4 episodes" in capsys.readouterr().out
    rows = logging.read(folder / "runs/mine/episodes.jsonl")
    assert {row["length"] for row in rows} == {16}


@pytest.mark.parametrize("words", commands("check"), ids=" ".join)
def test_what_the_page_defines_keeps_its_laws(words, capsys):
    assert cli.main(words) == cli.DONE
    laws = {"core": "of 13 laws 12 hold, 1 not checked", "env": "of 9 laws 9 hold"}
    laws["agent"] = "of 10 laws 10 hold"
    assert laws[words[1]] in capsys.readouterr().out


@pytest.mark.parametrize("words", commands("train"), ids=" ".join)
def test_every_run_of_the_page_can_be_built(words):
    small = [] if "experiment=drama_debug" in words else SMALL
    job = build.build(config.compose([*words[1:], *small]))
    given = dict(word.split("=") for word in words[1:])
    for group in ("core", "agent", "world_model"):
        name = plugins.bare(getattr(job.config, group)["name"])
        assert name == given.get(group, name)
    assert plugins.bare(job.config.env.id) == given.get("env.id", job.config.env.id)
    for key, names in (
        ("core.layers", job.config.core["layers"]),
        ("run.loggers", job.config.run.loggers),
    ):
        if key in given:
            assert f"[{','.join(map(plugins.bare, names))}]" == given[key]


def test_the_logger_has_each_number_once(folder):
    [words] = [words for words in commands("train") if "my_logger" in words[-1]]
    assert cli.main([*words, *TINY, "run.dir=run"]) == cli.DONE
    plugins._allowed.clear()
    more = ["--total-steps", "128", "--plugins", "my_logger.py"]
    assert cli.main(["resume", "run", *more]) == cli.DONE
    with open(folder / "run" / "long.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["step"], row["name"]) for row in rows}) == len(rows)
    seconds = [(int(r["step"]), float(r["value"])) for r in rows if r["name"] == "seconds"]
    logged = logging.read(folder / "run" / "metrics.jsonl")
    assert seconds == [(row["step"], row["seconds"]) for row in logged]
    assert {int(row["step"]) for row in rows if row["name"] == "eval/return"} == {64, 128}


def test_the_environment_pays_for_what_was_shown_before():
    env = rlseq.make_env(registry.take("env", "my_env.py:Echo"), num_envs=5, length=4)
    state, ts = env.reset(jax.random.key(0))
    shown, paid = [ts.obs], []
    for number in range(4):
        state, ts = env.step(state, shown[max(number - 1, 0)], jax.random.key(number))
        shown.append(ts.obs)
        paid.append(np.asarray(ts.reward))
    np.testing.assert_array_equal(np.stack(paid), np.ones((4, 5), np.float32))
    assert np.asarray(ts.terminated).all()
