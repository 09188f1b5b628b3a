"""The measurement of cores on tiny sizes: what it counts, what it skips, how it goes on."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq import cli
from rlseq.analysis.bench import (
    choices,
    core_cases,
    core_docs,
    core_plot,
    core_report,
    cores,
    engines,
)
from rlseq.analysis.bench.core_cases import Case
from rlseq.errors import InputError
from tests.packaging.tree import ROOT


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A folder with the figures of two cores, made by the command."""
    folder = tmp_path_factory.mktemp("cores")
    command = ["bench", "cores", "--cores", "mlp,s5", "--lengths", "8", "--quick"]
    assert cli.main([*command, "--output", str(folder)]) == cli.DONE
    return folder


def rows_of(folder):
    return json.loads((folder / "cores.json").read_text())["rows"]


def test_every_case_has_a_row_with_figures(measured):
    rows = rows_of(measured)
    s5 = [row for row in rows if row["core"] == "s5"]
    methods = ["", "", "sequential", "associative", "chunked"]
    assert [row["method"] for row in s5] == methods
    assert [(row["kind"], row["batch"]) for row in s5[:3]] == [
        ("step", 1),
        ("step", 64),
        ("sequence", 4),
    ]
    for row in rows:
        assert row["seconds"] > 0 and row["compile_seconds"] > 0 and not row["skipped"]
        assert (row["matmul_ratio"] is None) == (row["kind"] == "sequence")
    mlp = next(row for row in rows if row["core"] == "mlp")
    assert mlp["parameters"] == 32 * 32 + 32 and mlp["carry_bytes"] == 0
    assert s5[0]["carry_bytes"] == 32 * 4


def test_the_files_say_where_they_come_from(measured):
    about = json.loads((measured / "cores.json").read_text())["about"]
    assert {"cpu", "commit", "jax", "python", "device kind"} <= set(about)
    assert about["commands"] == ["rlseq bench cores --cores mlp,s5 --lengths 8 --quick"]
    with open(measured / "cores.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == len(rows_of(measured))
    assert (measured / "cores.png").read_bytes()[:4] == b"\x89PNG"


def test_a_second_run_measures_only_what_is_missing(measured, monkeypatch):
    seen = []

    def fake(case, known, repeats):
        seen.append(case)
        return core_cases.measure(case, known, repeats)

    monkeypatch.setattr(cores, "measure", fake)
    before = rows_of(measured)
    rows = cores.run(measured, ["mlp", "s5"], [8], quick=True, show=lambda line: None)
    assert rows == before and not seen
    cores.run(measured, ["mlp"], [8, 16], quick=True, show=lambda line: None)
    assert seen == [Case("mlp", "", "sequence", 16, 4, 32)]


def test_the_image_keeps_cores_that_were_measured_before(measured, monkeypatch):
    drawn = []
    monkeypatch.setattr(core_plot, "write", lambda folder, rows: drawn.extend(rows))
    words = ["--cores", "mlp", "--lengths", "8", "--quick", "--output", str(measured)]
    assert cli.main(["bench", "cores", *words]) == 0
    assert {row["core"] for row in drawn} == {"mlp", "s5"}


def test_figures_of_another_machine_are_not_mixed(measured, tmp_path):
    whole = json.loads((measured / "cores.json").read_text())
    whole["about"]["cpu"] = "another"
    (tmp_path / "cores.json").write_text(json.dumps(whole))
    with pytest.raises(InputError, match="another folder"):
        core_report.load(tmp_path)


def test_long_cases_are_skipped_with_the_reason(monkeypatch):
    case = Case("mlp", "", "sequence", 64, 4, 32)
    short = case._replace(length=32)._asdict() | {"seconds": 15.0}
    assert "by the shorter ones" in core_cases.measure(case, [short])["skipped"]
    skipped = short | {"seconds": None}
    assert "by the shorter ones" in core_cases.measure(case, [skipped])["skipped"]
    monkeypatch.setattr(core_cases, "LIMIT", 0.0)
    row = core_cases.measure(case)
    assert "one run took" in row["skipped"] and row["seconds"] is None
    monkeypatch.setattr(core_cases, "_free_bytes", lambda: -1)
    assert "needs" in core_cases.measure(case)["skipped"]


def test_bare_matmuls_use_every_matrix_once():
    params = {"a": jnp.full((4, 6), 0.5), "b": jnp.ones(6), "c": jnp.ones((2, 5, 3))}
    x = jnp.ones((1, 4))
    first = np.ones((1, 4)) @ np.full((4, 6), 0.5)  # [1, 6] of 2
    twin = np.tile(first, (1, 2))[:, :10] @ np.ones((10, 3))
    np.testing.assert_allclose(core_cases.bare_matmuls(params, x), twin)
    made = jax.make_jaxpr(core_cases.bare_matmuls)(params, x)
    assert str(made).count("dot_general") == 2


def test_bad_requests_are_refused(tmp_path, capsys):
    with pytest.raises(InputError, match="Did you mean 'gru'"):
        cores.run(tmp_path, ["gruu"])
    with pytest.raises(InputError, match="at least 1"):
        cores.run(tmp_path, ["gru"], [0])
    assert cli.main(["bench", "croes"]) == cli.BAD_INPUT
    assert "Did you mean 'cores'" in capsys.readouterr().err


def test_the_image_takes_the_fastest_method():
    base = {"kind": "sequence", "length": 8, "batch": 4, "temp_bytes": 5}
    rows = [
        base | {"core": "a", "method": "x", "seconds": 2.0},
        base | {"core": "a", "method": "y", "seconds": 1.0},
        base | {"core": "b", "method": "", "seconds": None},
    ]
    assert core_plot.best(rows, "sequence", 8, 4) == {"a": rows[1]}
    panels = core_plot.draw(rows).axes
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["a y"]


def test_cards_and_figures_go_between_their_markers(measured, tmp_path):
    page = tmp_path / "cores.md"
    text = "# A\n<!-- card s5 -->\nold\n<!-- end -->\nby hand\n"
    text += "<!-- cost mlp -->\nold\n<!-- end -->\n<!-- cost gru -->\nkept\n<!-- end -->\n"
    page.write_text(text)
    command = ["bench", "cores", "--output", str(measured), "--docs", str(page)]
    assert cli.main(command) == cli.DONE
    made = page.read_text()
    assert "\nold\n" not in made and "kept" in made and "by hand" in made
    assert "| - | step B=1 | 1,056 | 0 B |" in made
    assert "| `discretization` | `'zoh'` | S5 and S5-RL |" in made
    assert sorted(core_docs.sections(made)) == rlseq.core_names()
    assert cli.main(command) == cli.DONE and page.read_text() == made
    with pytest.raises(InputError, match="no page"):
        core_docs.insert(tmp_path / "none.md", [])


def test_the_page_about_cores_is_up_to_date(tmp_path):
    page = ROOT / "docs" / "cores.md"
    copy = tmp_path / "cores.md"
    copy.write_text(page.read_text())
    core_docs.insert(copy, [])
    assert sorted(core_docs.sections(page.read_text())) == rlseq.core_names()
    assert copy.read_text() == page.read_text(), "run `rlseq bench cores --docs docs/cores.md`"


def test_choices_have_the_form_of_the_table(tmp_path, capsys):
    file = tmp_path / "choices.json"
    assert cli.main(["bench", "choices", "--quick", "--output", str(file)]) == cli.DONE
    made = json.loads(file.read_text())
    for name, engine in engines.ENGINES.items():
        [row] = made["fastest"][name]["cpu"]
        assert (row["length"], row["size"]) == (32, 128) and row["method"] in engine.methods[1:]
    assert "affine T=32 size=128" in capsys.readouterr().err


def test_choices_keep_the_rows_of_other_platforms(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "quantum")
    made = choices.table(["affine"], [4], [8], show=lambda line: None)
    assert set(made["fastest"]["affine"]) >= {"cpu", "quantum"}
    assert json.loads(choices.as_text(made)) == made
    with pytest.raises(InputError, match="Did you mean 'affine'"):
        choices.table(["afine"])
