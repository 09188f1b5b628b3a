"""`rlseq table` is read by the standard csv module, and by pandas with the right types."""

import csv
import io

import pytest

from rlseq import cli, config
from rlseq.analysis import table
from rlseq.errors import InputError
from rlseq.train import logging, loop
from tests.analysis.study import write_run


@pytest.fixture
def study(tmp_path):
    """Two runs in a folder: two seeds with an unknown return, and one with a loss."""
    one = write_run(tmp_path / "runs" / "a", "probe:Leak", [[0.1, 0.3], [2.0, 1.0]])
    two = write_run(tmp_path / "runs" / "b", "probe:Recall", [[1.0]], core="gru", seed=7)
    rows = [{"step": 500, "seed": 0, "seconds": 7.0, "return": None}]
    logging.append(one / logging.METRICS, rows)
    rows = [{"step": 500, "seed": 7, "seconds": 1 / 3, "return": 1.0, "loss/value": 1e-30}]
    logging.append(two / logging.METRICS, rows)
    return tmp_path / "runs"


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_standard_library_reads_every_row_of_metrics(study, monkeypatch):
    monkeypatch.chdir(study)
    rows = read(table.csv_text(["a", "b"]))
    assert len(rows) == 4 + 4 + 1 + 4 + 1
    assert list(rows[0]) == [*table.ABOUT, "seconds", "return", "loss/value"]
    assert rows[0] == {
        "run": "a", "experiment": "debug", "env": "probe:Leak", "core": "s5", "agent": "ppo",
        "seed": "0", "step": "100", "seconds": "1.5", "return": "0.05", "loss/value": "",
    }  # fmt: skip
    unknown, last = rows[8], rows[-1]
    assert (unknown["run"], unknown["step"], unknown["return"]) == ("a", "500", "")
    assert (last["run"], last["core"], last["seed"]) == ("b", "gru", "7")
    assert (float(last["seconds"]), float(last["loss/value"])) == (1 / 3, 1e-30)


def test_episodes_are_a_table_of_their_own(study):
    rows = read(table.csv_text([study], "episodes"))
    assert [row["return"] for row in rows] == ["0.1", "0.3", "2.0", "1.0", "1.0"]
    assert list(rows[0])[:7] == list(table.ABOUT) and "slot" in rows[0] and "seconds" not in rows[0]


def test_pandas_reads_the_types_of_the_columns(study, tmp_path):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    assert cli.main(["table", str(study), "--csv", str(tmp_path / "rows.csv")]) == cli.DONE
    frame = pandas.read_csv(tmp_path / "rows.csv")
    kinds = {name: frame[name].dtype.kind for name in frame}
    assert {name for name, kind in kinds.items() if kind == "i"} == {"seed", "step"}
    assert {name for name, kind in kinds.items() if kind == "f"} == {
        "seconds", "return", "loss/value",
    }  # fmt: skip
    assert frame["return"].isna().sum() == 1
    last = frame.groupby(["run", "seed"])["return"].last()
    assert last.tolist() == [pytest.approx(0.2), 1.5, 1.0]


def test_evaluations_of_a_real_run_read_back_as_they_are(tmp_path):
    words = ["experiment=debug", "core=mlp", "run.quiet=true", "total_steps=128"]
    folder = loop.train(config.compose([*words, f"run.dir={tmp_path / 'run'}"])).folder
    rows = logging.read(folder / logging.EPISODES)
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    frame = pandas.read_csv(io.StringIO(table.csv_text([folder], "episodes")))
    assert frame["cut"].dtype == bool and frame["mode"].tolist() == ["sampled"] * len(rows)
    for name in ("return", "length", "trajectory", "slot"):
        assert frame[name].tolist() == [row[name] for row in rows]


def test_the_command_prints_or_writes_a_new_file_whole(study, tmp_path, monkeypatch, capsys):
    run, out = str(study / "a"), tmp_path / "rows.csv"
    assert cli.main(["table", run]) == cli.DONE
    printed = capsys.readouterr().out
    assert cli.main(["table", run, "--csv", str(out)]) == cli.DONE
    assert capsys.readouterr().out == f"{out}\n" and out.read_text() == printed
    assert cli.main(["table", run, "--csv", str(out)]) == cli.BAD_INPUT
    assert "exists already and is not overwritten" in capsys.readouterr().err
    assert cli.main(["table", run, "--csv", str(tmp_path / "no" / "rows.csv")]) == cli.BAD_INPUT
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "no space")))
    assert cli.main(["table", run, "--csv", str(tmp_path / "full.csv")]) == cli.FAILED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv", "runs"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs/a", "--what", "metric"], "unknown table 'metric'. Did you mean 'metrics'"),
        (["runs/c"], "no run folder 'runs/c'. Runs in 'runs': a, b"),
        (["."], "'.' is not a run"),
    ],
)
def test_what_is_no_table_is_named(words, said, study, monkeypatch, capsys):
    monkeypatch.chdir(study.parent)
    assert cli.main(["table", *words]) == cli.BAD_INPUT
    assert said in capsys.readouterr().err


def test_a_run_without_rows_has_no_table(tmp_path):
    folder = write_run(tmp_path / "a", "probe:Leak", [])
    with pytest.raises(InputError, match="no metrics yet"):
        table.csv_text([folder])


def test_a_run_knows_its_experiment(tmp_path):
    named = {
        "quickstart": [],
        "popgym_ppo": ["experiment=popgym_ppo", "core=gru"],
        "mine": ["experiment=debug", "run.experiment=mine"],
    }
    for name, words in named.items():
        composed = config.compose(words)
        (tmp_path / "config.yaml").write_text(config.to_yaml(composed))
        assert config.load(tmp_path / "config.yaml").run.experiment == name
