"""What README.md and docs/ show is run: Python blocks as scripts, command lines by the parser."""

import itertools
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from rlseq import cli, config
from rlseq.envs import env_ids
from rlseq.train.listing import listing
from rlseq.train.swept import space
from tests.packaging import markdown
from tests.packaging.tree import PROJECT, ROOT, python

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = [(page, heading) for page in PAGES for heading in markdown.scripts(page)]
COMMANDS = [(page.name, words) for page in PAGES for words in markdown.commands(page)]
RLSEQ = [words[1:] for _, words in COMMANDS if words[0] == "rlseq"]
RUN = re.compile(r"runs/[\w.-]+")  # wherever a page has a run folder, a tiny run stands there

# What a page of docs/ may take as given: the README's blocks stand on their own.
GIVEN = """
import jax, jax.numpy as jnp, numpy as np, rlseq
key = jax.random.key(0)
batch = 64
_env = rlseq.make_env("popgym:RepeatPreviousEasy", num_envs=batch)
_, _ts = _env.reset(key)
obs, reset = _ts.obs, _ts.reset
action = jnp.zeros(batch, jnp.int32)
"""

# Every script has names and a folder of its own; its lines are those of its page.
RUN_ALL = """
import json, os, pathlib, runpy, traceback
start, failures = pathlib.Path.cwd(), {}
for script in sorted(start.glob("*/*/*.py")):
    os.chdir(script.parent)
    try:
        runpy.run_path(str(script), run_name="__main__")
        failure = None
    except BaseException:
        failure = traceback.format_exc()
    failures[str(script.relative_to(start))] = failure
(start / "failures.json").write_text(json.dumps(failures))
"""


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "run"
    # The program of tests/cli/test_commands.py, which compiles it once.
    small = ["experiment=debug", "seeds=2", "run.eval_episodes=0", "run.quiet=true"]
    assert cli.main(["train", *small, f"run.dir={folder}"]) == 0
    return folder


@pytest.fixture(scope="session")
def failures(tiny_run, tmp_path_factory) -> dict[str, str | None]:
    """How each script failed, None if it did not; one process, as most of it is starting."""
    start = tmp_path_factory.mktemp("scripts")
    for page, heading in SCRIPTS:
        script = markdown.scripts(page)[heading]
        file = start / _place(page, heading)
        folder = file.parent
        folder.mkdir(parents=True)
        for place in set(RUN.findall(script)):
            shutil.copytree(tiny_run, folder / place)
        if page.name != "README.md":
            script = f"exec({GIVEN!r}){script}"  # line 1 is never code
        file.write_text(script, encoding="utf-8")
    python(RUN_ALL, cwd=start, env=os.environ | {"JAX_PLATFORMS": "cpu", "MPLBACKEND": "agg"})
    return json.loads((start / "failures.json").read_text(encoding="utf-8"))


def _place(page, heading) -> str:
    """A script's file in the folder of all: each in a folder of its own, named as its page."""
    return f"{page.stem}/{heading}/{page.stem}.py"


@pytest.mark.parametrize(
    ("page", "heading"), SCRIPTS, ids=[f"{page.name}:{heading}" for page, heading in SCRIPTS]
)
def test_python_blocks_run(page, heading, failures):
    failure = failures[_place(page, heading)]
    assert failure is None, failure


@pytest.mark.parametrize("words", RLSEQ, ids=" ".join)
def test_commands_are_understood(words):
    try:
        options = cli._parsed(words)
    except SystemExit as stop:
        assert stop.code == 0, f"rlseq {' '.join(words)}"  # --help ends so
        return
    # Launchers come with extras: tests/train/test_launchers_of_others.py runs them.
    if words[0] == "train" and space.has_sweep(options.overrides):
        assert space.parse(options.overrides).config.env.id in env_ids()
    elif words[0] in ("train", "plan"):
        own = [word for word in options.overrides if not word.startswith(("hydra/", "hydra."))]
        for overrides in combinations(own, getattr(options, "multirun", False)):
            assert config.compose(overrides).env.id in env_ids()
    elif words[0] == "list":
        assert listing(options.what)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_extras_and_files_that_commands_name_exist(page):
    for words in markdown.commands(page):
        if words[:2] == ["pip", "install"]:
            for extras in re.findall(r"\[([\w,]+)\]", " ".join(words)):
                assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])
        for word in words[1:] if words[0] in ("python", "bash", "python3") else []:
            assert word.startswith("-") or "/" not in word or (ROOT / word).exists(), word


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


def combinations(overrides: list[str], sweep: bool) -> list[list[str]]:
    """One list of overrides for each run of a sweep."""
    if not sweep:
        return [overrides]
    choices = []
    for text in overrides:
        key, _, values = text.partition("=")
        choices.append([f"{key}={value}" for value in values.split(",")])
    return [list(run) for run in itertools.product(*choices)]
