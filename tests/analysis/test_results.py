"""Tables in results/ that come from raw episodes are what `rlseq report` makes of them."""

import csv
import re

import pytest

from rlseq import cli
from tests.packaging.tree import ROOT

TABLE = ROOT / "results" / "atari100k"
ROW = re.compile(r"^\| (\w+) \| ([\d.,-]+) \| ([\d.-]+) \|", re.MULTILINE)


# Runs of an ablation are single games with other settings, some of them not trained to the end.
METHODS = [f.name for f in TABLE.iterdir() if f.is_dir() and f.name != "ablation"]


@pytest.mark.parametrize("method", METHODS)
def test_the_atari_table_is_what_report_makes_of_the_raw_episodes(method, tmp_path):
    runs = [str(run) for run in sorted((TABLE / method).iterdir())]
    assert cli.main(["report", *runs, "--out", str(tmp_path / "report")]) == 0
    with open(tmp_path / "report/games.csv", newline="") as file:
        made = {row["env"].removeprefix("atari:"): row for row in csv.DictReader(file)}
    text = (TABLE / "README.md").read_text()
    section = text.split(f"## {method}")[1].split("\n## ")[0]
    listed = {game: (mean, scaled) for game, mean, scaled in ROW.findall(section)}
    assert set(listed) == set(made) and len(made) == len(runs)
    for game, (mean, scaled) in listed.items():
        assert float(mean.replace(",", "")) == pytest.approx(float(made[game]["return"]), rel=5e-3)
        assert float(scaled) == pytest.approx(float(made[game]["scaled"]), abs=1e-3)
