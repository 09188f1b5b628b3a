"""Tables that come from raw rows are what these rows make: Atari's games, the README's families."""

import csv
import json
import re
import statistics
from typing import NamedTuple

import pytest

from rlseq import cli, config, registry
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


class Listed(NamedTuple):
    """A row of the README's table of families that has a run, as it is written there."""

    family: str
    rate: str
    task: str
    folder: str
    random: str
    ppo: str


README = (ROOT / "README.md").read_text()
# family, extra, ids; and then what comes from a run and its speed.
FAMILY = r"^\| `(\w+):` \| *([^| ]*) *\| (\d+) \|"
RUN = r" ([\d,]+) \| \[(\S+)\]\((\S+)\) \| (\S+) \| (\S+) \|"
NAMED = re.findall(FAMILY, README, re.MULTILINE)
RUNS = [Listed(row[0], *row[3:]) for row in re.findall(FAMILY + RUN, README, re.MULTILINE)]


def number(text):
    return float(text.replace(",", ""))


def returns(path):
    return [json.loads(line)["return"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("row", RUNS, ids=lambda row: row.family)
def test_a_family_of_the_readme_is_what_its_raw_data_say(row):
    run = ROOT / row.folder
    trained, random = returns(run / "episodes.jsonl"), returns(run / "random.jsonl")
    assert number(row.ppo) == pytest.approx(statistics.mean(trained), rel=5e-3, abs=5e-3)
    assert number(row.random) == pytest.approx(statistics.mean(random), rel=5e-3, abs=5e-3)
    # "Above random": apart by more than four standard errors of either.
    errors = [statistics.stdev(one) / len(one) ** 0.5 for one in (trained, random)]
    assert statistics.mean(trained) - statistics.mean(random) > 4 * max(errors)
    env_id = f"{row.family}:{row.task}"
    assert config.load(run / "config.yaml").env.id == env_id
    rows = json.loads((ROOT / "results/families/envs.json").read_text())["rows"]
    measured = [one for one in rows if one["environment"] == env_id and not one["quick"]]
    (rate,) = [one["64 envs, per CPU second"] for one in measured]
    assert number(row.rate) == pytest.approx(rate, rel=5e-3)


def test_the_readme_lists_every_family_its_extra_and_its_number_of_ids():
    families = {name: registry.load("env", name) for name in registry.names("env")}
    del families["probe"]  # tests of agents, not tasks
    assert [family for family, _, _ in NAMED] == list(families)
    for (_, extra, ids), family in zip(NAMED, families.values(), strict=True):
        assert int(ids) == len(family.ids())
        needed = getattr(family, "extra", None)
        assert extra.strip("`") == (needed.name if needed else "")
