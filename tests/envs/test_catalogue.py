"""What `rlseq list envs` prints is what the environments say."""

import pytest

from rlseq.envs import catalogue, env_ids
from rlseq.train.listing import listing
from tests.own_envs import OWN

ROWS = catalogue.rows()
# One of each family and way to know the rewards; the rest take half a minute to build.
QUICK = [
    "gymnax:CartPole-v1", "memory:TMaze", "meta:Pendulum", "minatar:SeaquestMasked",
    "popgym:LabyrinthExploreEasy", "popgym:RepeatPreviousHard", "popgym:ConcentrationEasy",
    "popgym:NoisyPositionOnlyCartPoleHard", "probe:Delayed",
]  # fmt: skip


def test_every_id_has_a_row_in_order():
    assert list(ROWS) == env_ids(missing=True)


# Those of other packages are compared in tests/families.
@pytest.mark.parametrize(
    "env_id",
    [
        i if i in QUICK else pytest.param(i, marks=pytest.mark.slow)
        for i in ROWS
        if i.partition(":")[0] in OWN
    ],
)
def test_a_row_is_what_the_environment_says(env_id):
    assert catalogue.described(env_id) == ROWS[env_id]


def test_the_list_tells_spaces_length_rewards_and_source():
    about = dict(listing("envs"))
    listed = env_ids()
    assert list(about)[: len(listed)] == listed
    # RepeatFirst pays +-1 / 51 for each of 51 answers.
    assert about["popgym:RepeatFirstEasy"] == (
        "Discrete(4) -> Discrete(4); 51 steps at most; rewards -0.01961 .. 0.01961; "
        "RepeatFirst (POPGym, Morad et al. 2303.01859; popgym 1.0.7)"
    )
    assert "rewards without known bounds" in about["atari:Pong"]
    assert "Young and Tian, 1903.03176" in about["minatar:BreakoutMasked"]


def test_an_environment_without_a_row_is_listed_all_the_same(monkeypatch):
    monkeypatch.setattr(catalogue, "lines", dict)
    assert dict(listing("envs"))["memory:TMaze"].startswith("T-maze (Bakker 2001")
