"""Models go to a server that speaks the Hub's file API and come back; its errors are in words."""

import os
import sys

import huggingface_hub.constants
import numpy as np
import pytest

from rlseq import cli
from rlseq.train import hub, models
from tests.packaging.tree import python
from tests.train import fake_hub

REPO = "somebody/ppo-s5"
# What the client itself does when it uploads a large file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """As an export writes it; nothing here needs an agent."""
    folder = tmp_path_factory.mktemp("hub") / "model"
    folder.mkdir()
    weights = {"network": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    models.write_weights(folder, weights, 512)
    for name in ("config.yaml", "README.md", "env.txt", "episodes.jsonl"):
        (folder / name).write_text(f"{name}: 1\n")
    (folder / "policy.stablehlo").write_bytes(bytes(range(256)))
    (folder / "notes.txt").write_text("not of the model")
    (folder / "evil.py").write_text("raise SystemExit")
    return folder


@pytest.fixture
def server(monkeypatch, tmp_path):
    with fake_hub.running() as running:
        # As HF_ENDPOINT does before the client is imported.
        template = f"{running.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", running.url)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        monkeypatch.setenv("HF_TOKEN", fake_hub.TOKEN)
        yield running


def test_the_commands_bring_a_model_there_and_back(model, tmp_path):
    with fake_hub.running() as running:
        script = f"""
from rlseq import cli
assert cli.main(["push", {str(model)!r}, {REPO!r}, "--private", "--message", "first"]) == 0
assert cli.main(["pull", {REPO!r}, "--to", "back"]) == 0
"""
        own = {"HF_ENDPOINT": running.url, "HF_TOKEN": fake_hub.TOKEN, "HF_HOME": str(tmp_path)}
        env = os.environ | own | {"HF_HUB_DISABLE_XET": "1", "JAX_PLATFORMS": "cpu"}
        said = python(script, cwd=tmp_path, env=env)
        assert running.messages == ["first"] and running.private == {REPO: True}
        assert said.split() == [f"{running.url}/{REPO}/commit/{sha(running)}", "back"]
    sent = {path.name for path in model.iterdir()} - {"notes.txt", "evil.py"}
    assert set(running.repos[REPO]) == sent == {path.name for path in (tmp_path / "back").iterdir()}
    for name in sent:
        assert (tmp_path / "back" / name).read_bytes() == (model / name).read_bytes()


def sha(running):
    return next(x for x in running.asked if "/resolve/" in x).split("/resolve/")[1].split("/")[0]


def test_only_files_of_a_model_are_fetched_whatever_is_there(model, server, tmp_path):
    hub.push(model, REPO)
    server.repos[REPO] |= {"evil.py": b"raise SystemExit", "sub/config.yaml": b"", "x.pkl": b""}
    hub.pull(REPO, tmp_path / "back", revision="main")
    assert {path.name for path in (tmp_path / "back").iterdir()} <= set(models.FILES)
    assert not [path for path in server.asked if "evil" in path or "pkl" in path]


def test_what_is_no_model_leaves_nothing(model, server, tmp_path, capsys):
    hub.push(model, REPO)
    del server.repos[REPO]["config.yaml"]
    where = tmp_path / "back"
    assert cli.main(["pull", REPO, "--to", str(where)]) == cli.BAD_INPUT
    assert f"'{REPO}' holds no model of rlseq: the model in '{REPO}' lacks config.yaml" in said(
        capsys
    )
    server.repos[REPO]["config.yaml"] = b""
    server.repos[REPO]["model.safetensors"] = b"damaged"
    assert cli.main(["pull", REPO, "--to", str(where)]) == cli.BAD_INPUT
    assert "is damaged or no safetensors file" in said(capsys)
    assert not list(tmp_path.iterdir())
    where.mkdir()
    assert cli.main(["pull", REPO, "--to", str(where)]) == cli.BAD_INPUT
    assert "exists already" in said(capsys)


def test_what_is_not_there_is_named(model, server, tmp_path, capsys):
    assert cli.main(["pull", "nobody/nothing", "--to", str(tmp_path / "x")]) == cli.BAD_INPUT
    assert "there is no repository 'nobody/nothing', or this token" in said(capsys)
    hub.push(model, REPO)
    given = ["pull", REPO, "--to", str(tmp_path / "x"), "--revision", "v9"]
    assert cli.main(given) == cli.BAD_INPUT
    assert f"'{REPO}' has no such revision" in said(capsys)
    assert cli.main(["pull", "a//b", "--to", str(tmp_path / "x")]) == cli.BAD_INPUT
    assert "'a//b' is no repository, as OWNER/NAME is" in said(capsys)
    assert not list(tmp_path.iterdir())


def test_only_whole_models_are_pushed(model, server, tmp_path, capsys):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for folder, message in ((tmp_path / "no", "no folder"), (tmp_path / "run", "is a run: `rlseq")):
        assert cli.main(["push", str(folder), REPO]) == cli.BAD_INPUT
        assert message in said(capsys)
    models.write_weights(tmp_path, {"a": np.zeros(2)}, 1)
    assert cli.main(["push", str(tmp_path), REPO]) == cli.BAD_INPUT
    assert "lacks config.yaml" in said(capsys)
    (tmp_path / "config.yaml").write_text("")
    assert cli.main(["push", str(tmp_path), REPO]) == cli.BAD_INPUT
    assert "lacks README.md, its card" in said(capsys)
    assert not server.asked


def test_tokens_and_servers_that_fail_are_named(model, server, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    assert cli.main(["push", str(model), REPO]) == cli.FAILED
    assert "the Hugging Face Hub failed for 'somebody/ppo-s5': Invalid username" in said(capsys)
    monkeypatch.delenv("HF_TOKEN")
    assert cli.main(["push", str(model), REPO]) == cli.BAD_INPUT
    assert "no token for the Hugging Face Hub: `hf auth login`, or set HF_TOKEN" in said(capsys)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert cli.main(["pull", REPO, "--to", str(tmp_path / "x")]) == cli.FAILED
    assert "the Hugging Face Hub failed for 'somebody/ppo-s5'" in said(capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["push", "MODEL", REPO], ["pull", REPO, "--to", "x"]])
def test_a_missing_package_names_the_extra(model, words, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    given = [str(model) if word == "MODEL" else word for word in words]
    assert cli.main(given) == cli.BAD_INPUT
    assert "pip install 'rlseq[hub]'" in said(capsys)


def said(capsys):
    text = capsys.readouterr().err
    assert text.startswith("rlseq: ") and text.count("\n") == 1, text
    return text
