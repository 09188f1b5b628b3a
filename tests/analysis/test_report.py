"""Reports on run folders written by hand: numbers, files, the page, and what is refused."""

import csv
import html.parser
import re

import numpy as np
import pytest

from rlseq import cli
from rlseq.analysis import report
from rlseq.errors import InputError
from rlseq.train import logging
from tests.analysis.study import write_run

GAMES = {"Boxing": (0.1, 12.1), "Pong": (-20.7, 14.6), "Krull": (1598.0, 2665.5)}


def read_csv(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def atari(tmp_path_factory):
    """Two cores in three games, two folders of a seed each; gru has not played Krull."""
    root, rng = tmp_path_factory.mktemp("atari"), np.random.default_rng(0)
    for core in ("s5", "gru"):
        for game, (random, human) in GAMES.items():
            for seed in (0, 1):
                if (core, game) != ("gru", "Krull"):
                    returns = rng.uniform(random, human, 5).round(2).tolist()
                    folder = root / "runs" / f"{core}-{game}-{seed}"
                    write_run(folder, f"atari:{game}", [returns], core=core, seed=seed)
    report.write([root / "runs"], root / "report")
    return root


def slow_scores(root, core):
    """Game -> human-normalised score of each seed, from the files alone."""
    found = {}
    for game, (random, human) in GAMES.items():
        for seed in (0, 1):
            path = root / "runs" / f"{core}-{game}-{seed}" / "episodes.jsonl"
            if path.exists():
                returns = [float(x) for x in re.findall(r'"return": ([-\d.]+)', path.read_text())]
                score = (sum(returns) / len(returns) - random) / (human - random)
                found.setdefault(game, []).append(score)
    return found


def test_scores_are_those_of_the_folders(atari):
    rows = read_csv(atari / "report" / "scores.csv")
    assert len(rows) == 10 and {row["episodes"] for row in rows} == {"5"}
    for core in ("s5", "gru"):
        own = [row for row in rows if row["method"] == f"{core} ppo"]
        for game, expected in slow_scores(atari, core).items():
            found = [row["human_normalised"] for row in own if row["env"] == f"atari:{game}"]
            np.testing.assert_allclose([float(x) for x in found], expected, rtol=1e-5)


def test_aggregates_are_over_the_games_that_all_have_played(atari):
    rows = read_csv(atari / "report" / "aggregates.csv")
    for core in ("s5", "gru"):
        scores = slow_scores(atari, core)
        means = [sum(scores[game]) / 2 for game in ("Boxing", "Pong")]
        own = {row["measure"]: row for row in rows if row["name"] == f"{core} ppo"}
        assert {row["games"] for row in own.values()} == {"2"}
        np.testing.assert_allclose(float(own["mean"]["value"]), np.mean(means), rtol=1e-5)
        pooled = sorted(scores["Boxing"] + scores["Pong"])
        np.testing.assert_allclose(float(own["IQM"]["value"]), np.mean(pooled[1:3]), rtol=1e-5)
        assert float(own["mean"]["low"]) < float(own["mean"]["value"]) < float(own["mean"]["high"])
    [drama] = [row for row in rows if (row["name"], row["measure"]) == ("Drama_XS", "mean")]
    expected = (77.9 / 12 + 35.7 / 35.3) / 2  # 78 in Boxing, 15 in Pong
    np.testing.assert_allclose(float(drama["value"]), expected, rtol=1e-5)
    [gap] = [row for row in rows if (row["name"], row["measure"]) == ("Drama_XS", "IQM")]
    assert (gap["value"], gap["published"], gap["runs"]) == ("", "yes", "0")


def test_games_have_the_mean_over_seeds(atari):
    rows = read_csv(atari / "report" / "games.csv")
    [boxing] = [row for row in rows if (row["method"], row["env"]) == ("s5 ppo", "atari:Boxing")]
    expected = np.mean(slow_scores(atari, "s5")["Boxing"])
    np.testing.assert_allclose(float(boxing["scaled"]), expected, rtol=1e-5)
    assert boxing["seeds"] == "2"


class Page(html.parser.HTMLParser):
    """Checks nesting; gathers tags with their attributes and the text of table cells."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_accessible_and_needs_no_network(atari):
    text = (atari / "report" / "report.html").read_text()
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert not {"script", "iframe", "object"} & set(names)
    links = [value for _, own in page.tags for key, value in own.items() if key in ("src", "href")]
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert "url(" not in text and "@import" not in text
    images = [own for tag, own in page.tags if tag == "img"]
    assert len(images) == 3 and all(own["alt"] for own in images)
    assert names.count("caption") == names.count("table") and names.count("h1") == 1
    assert all("scope" in own for tag, own in page.tags if tag == "th")
    targets = {own["id"] for _, own in page.tags if "id" in own}
    assert {link[1:] for link in links if link.startswith("#")} == targets - {""}
    assert len(text) < 1_000_000


def test_images_of_markdown_lie_beside_it(atari):
    folder = atari / "report"
    linked = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (folder / "report.md").read_text())
    assert len(linked) == 3
    assert all((folder / name).read_bytes()[:4] == b"\x89PNG" for name in linked)


def test_families_without_human_scores_have_returns(tmp_path):
    for name, env in (("a", "popgym:RepeatFirstEasy"), ("b", "minatar:Breakout")):
        write_run(tmp_path / "runs" / name, env, [[0.5, 0.7], [0.2, 0.3]])
    report.write([tmp_path / "runs" / "a", tmp_path / "runs" / "b"], tmp_path / "out")
    rows = read_csv(tmp_path / "out" / "aggregates.csv")
    assert {(row["family"], row["published"]) for row in rows} == {("popgym", "no")}
    [mean] = [row for row in rows if row["measure"] == "mean"]
    np.testing.assert_allclose(float(mean["value"]), (0.6 + 0.25) / 2)
    assert not any(row["human_normalised"] for row in read_csv(tmp_path / "out" / "scores.csv"))
    page = (tmp_path / "out" / "report.md").read_text()
    assert "Results: minatar" in page and "Human-normalised" not in page


def test_runs_in_which_no_training_episode_ended_have_scores_but_no_curve(tmp_path):
    folder = write_run(tmp_path / "run", "atari:Boxing", [[2.0]], preset="atari100k_drama")
    rows = [row | {"return": None} for row in logging.read(folder / logging.METRICS)]
    (folder / logging.METRICS).unlink()
    logging.append(folder / logging.METRICS, rows)
    report.write([folder], tmp_path / "out")
    [row] = read_csv(tmp_path / "out" / "scores.csv")
    assert float(row["mean_return"]) == 2.0
    assert not list((tmp_path / "out").glob("*curve*"))


def test_settings_that_differ_within_a_game_tell_methods_apart(tmp_path):
    env = "popgym:RepeatFirstEasy"
    for name, lr in (("a", 0.1), ("b", 0.2)):
        write_run(tmp_path / name, env, [[0.5]], lr=lr)
    write_run(tmp_path / "c", "popgym:RepeatPreviousEasy", [[0.5]], lr=0.1, step=800)
    report.write([tmp_path / name for name in "abc"], tmp_path / "out")
    methods = {row["method"] for row in read_csv(tmp_path / "out" / "scores.csv")}
    assert methods == {"s5 ppo, lr=0.1", "s5 ppo, lr=0.2"}
    assert "differ in steps: 400, 800" in (tmp_path / "out" / "report.md").read_text()


def test_only_the_newest_evaluation_counts(tmp_path):
    folder = write_run(tmp_path / "run", "popgym:RepeatFirstEasy", [[0.5, 0.7]])
    with (folder / "episodes.jsonl").open("a") as file:
        file.write('{"step": 800, "seed": 0, "slot": 0, "episode": 0, "return": 1, "length": 9}\n')
    report.write([folder], tmp_path / "out")
    [row] = read_csv(tmp_path / "out" / "scores.csv")
    assert (row["step"], row["episodes"], row["mean_return"]) == ("800", "1", "1")
    assert row["standard_error"] == ""  # of one episode


@pytest.mark.parametrize("kind", ["csv", "html", "md", "png"])
def test_no_earlier_report_is_overwritten_unless_told(atari, tmp_path, kind):
    run = write_run(tmp_path / "run", "popgym:RepeatFirstEasy", [[0.5]])
    [name] = [path.name for path in (atari / "report").iterdir() if path.suffix == f".{kind}"][:1]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("kept")
    (tmp_path / "out" / "notes.txt").write_text("kept")
    with pytest.raises(InputError, match="--overwrite"):
        report.write([run], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([name, "notes.txt"])
    report.write([run], tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "notes.txt").read_text() == "kept"


def test_runs_that_are_not_comparable_are_refused(tmp_path):
    env = "atari:Pong"
    first = write_run(tmp_path / "a", env, [[0.5]])
    twin = write_run(tmp_path / "b", env, [[0.5], [0.6]])
    other = write_run(tmp_path / "c", "atari:Boxing", [[0.5]], preset="atari_dqn")
    bare = write_run(tmp_path / "d", env, [], seed=7)
    worse = write_run(tmp_path / "e", env, [], seed=8)
    for runs, message in (
        ([first, twin], r"seed 0 of atari:Pong by s5 ppo is in two runs, .*a.* and .*b"),
        ([first, other], "presets are not comparable: .*the default in .* and atari_dqn in"),
        (
            [first, bare, worse],
            r"no sampled evaluation episodes .*'.*d' \(none at all\), '.*e' \(none .*rlseq eval",
        ),
        ([tmp_path / "nowhere"], "no run folder"),
        ([tmp_path / "a" / "plots"], "no run folder"),
        ([], "no run to report on"),
    ):
        with pytest.raises(InputError, match=message):
            report.write(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_given_twice_counts_once(tmp_path):
    folder = write_run(tmp_path / "runs" / "a", "popgym:RepeatFirstEasy", [[0.5]])
    report.write([folder, tmp_path / "runs"], tmp_path / "out")
    assert len(read_csv(tmp_path / "out" / "scores.csv")) == 1


def test_the_command_prints_the_files(tmp_path, capsys):
    run = write_run(tmp_path / "run", "popgym:RepeatFirstEasy", [[0.5]])
    arguments = ["report", str(run), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == cli.DONE
    said = capsys.readouterr().out.split()
    assert sorted(said) == sorted(str(path) for path in (tmp_path / "out").iterdir())
    assert cli.main(arguments) == cli.BAD_INPUT
