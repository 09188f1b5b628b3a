"""Our POPGym games against the popgym package: same hidden state, same actions, same all."""

import numpy as np
import popgym.envs
import pytest

from rlseq.envs.popgym import FAMILY

from .against_popgym import compare_episodes, environment, family_of, upstream
from .popgym_games import GAMES

# popgym has its labyrinths only beside mazelib.
HERE = [name for name in FAMILY.ids() if hasattr(popgym.envs, name)]
PLAYED = [name for name in HERE if family_of(name) in GAMES]


def check_ends(name, episodes):
    """Every kind of end that the game has should be seen."""
    assert any(e.terminated[-1] for e in episodes) == ("Bandit" not in name)
    assert any(e.truncated[-1] for e in episodes) == environment(name).can_truncate


@pytest.mark.parametrize("name", PLAYED)
def test_games_equal_popgym_step_by_step(name):
    check_ends(name, compare_episodes(name, 60 if "Mine" in name or "ship" in name else 12))


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYED)
def test_games_equal_popgym_over_hundreds_of_episodes(name):
    check_ends(name, compare_episodes(name, 300 if "Labyrinth" in name else 2000))


@pytest.mark.parametrize("name", HERE)
def test_spaces_and_lengths_are_those_of_popgym(name):
    theirs, env = upstream(name), environment(name)
    for ours, other in (
        (env.action_space(env.default_params), theirs.action_space),
        (env.observation_space(env.default_params), theirs.observation_space),
    ):
        same_space(ours, other)
    lengths = [getattr(theirs, x, None) for x in ("max_episode_length", "episode_length")]
    longest = next((x for x in lengths if x), None)
    if longest is not None:
        assert env.max_steps == longest - ("Labyrinth" in name)


def same_space(ours, theirs):
    assert type(ours).__name__ == type(theirs).__name__
    if hasattr(theirs, "spaces"):
        for one, other in zip(ours.spaces, theirs.spaces, strict=True):
            same_space(one, other)
        return
    assert tuple(ours.shape) == tuple(theirs.shape)
    for attribute in {"n", "nvec", "low", "high"} & set(vars(theirs)):
        np.testing.assert_allclose(getattr(ours, attribute), getattr(theirs, attribute))
