"""The measurement of Atari on tiny sizes: every rival plays, and a ratio is what it says."""

import json

import pytest

from rlseq import cli
from rlseq.analysis.bench import atari
from rlseq.errors import InputError


def test_a_row_compares_rounds_with_rounds():
    rates = {atari.ALE: [10.0, 20.0, 10.0], "other": [5.0, 30.0, 10.0]}
    row = atari._row("Pong", 8, "other", rates)
    assert (row["steps/s"], row["best"], row["ratio"], row["best ratio"]) == (10, 30, 1.0, 1.5)
    rates |= {atari.POLICY_LOOP: [1.0, 1.0, 1.0], "other, policy": [2.0, 3.0, 4.0]}
    assert atari._row("Pong", 8, "other, policy", rates)["ratio"] == 3


def test_every_rival_plays(tmp_path, monkeypatch):
    monkeypatch.setattr(atari, "QUICK", (2,))
    command = ["bench", "atari", "--envs", "atari:pong", "--quick", "--output", str(tmp_path)]
    assert cli.main(command) == cli.DONE
    (held,) = json.loads((tmp_path / "atari.json").read_text())
    assert held["about"]["ale-py"] and [row["game"] for row in held["rows"]] == ["Pong"] * 6
    assert all(row["steps/s"] > 0 for row in held["rows"])


def test_what_is_no_game_is_refused(tmp_path):
    with pytest.raises(InputError, match="Did you mean 'atari:Pong'"):
        atari.run(tmp_path, ["atari:Pongg"])
