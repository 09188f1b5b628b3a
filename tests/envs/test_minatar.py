"""MinAtar: gymnax's games step by step, and what the partial views leave out."""

import functools

import jax
import numpy as np
import pytest

from rlseq.envs import make_env
from rlseq.envs.minatar import MOTION
from rlseq.errors import InputError

E, T = 3, 80


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@functools.cache
def played(roll, name, num_envs=E, num_steps=T, **options):
    """(environment, rollout), made once for all tests."""
    venv = make_env(f"minatar:{name}", num_envs, **options)
    return venv, roll(venv, num_steps)


def test_every_game_has_three_views():
    from rlseq.envs.minatar import FAMILY

    assert len(FAMILY.ids()) == 15 and FAMILY.ids()[:2] == ["Asterix", "AsterixMasked"]


# Each game has its state in the same form as gymnax's own id: its true next image.
@pytest.mark.parametrize("game", MOTION)
def test_steps_are_gymnaxs(game, roll, compiled_quickly):
    """From each state met, gymnax's own step with the same key gives the same step."""
    theirs = make_env(f"gymnax:{game}-MinAtar", E)
    venv, rollout = played(roll, game)
    states, actions = (jax.tree.map(lambda x: x[0], x) for x in (rollout.states, rollout.actions))

    def both(state, action):
        key = jax.random.key(1)
        ours = jax.vmap(venv.env.step_env, (None, 0, 0, None))(key, state, action, venv.params)
        game_key = jax.random.split(key)[0]
        step = jax.vmap(theirs.env.step_env, (None, 0, 0, None))
        return ours, step(game_key, state, action, theirs.params)

    ours, gymnaxs = compiled_quickly(both, states, actions)(states, actions)
    same(ours, gymnaxs)
    assert venv.spec.max_steps == theirs.spec.max_steps == (2500 if game == "Freeway" else 1000)
    assert rollout.steps.obs.any((0, 1, 2, 3))[0], "the player should be in sight"


@pytest.mark.parametrize("game", ["Breakout", "SpaceInvaders"])
def test_masked_channels_are_dark_and_the_others_are_not(game, roll):
    whole, masked = played(roll, game)[1], played(roll, f"{game}Masked")[1]
    twin = whole.steps.final_obs.copy()
    assert twin[..., MOTION[game]].any()
    twin[..., MOTION[game]] = 0
    same(masked.steps.final_obs, twin)
    same(masked.steps[1:5], whole.steps[1:5])


def test_half_of_the_flickering_observations_are_dark(roll):
    rollout = played(roll, "BreakoutFlickering", 32, 100)[1]
    whole = played(roll, "Breakout", 32, 100)[1]
    dark = ~rollout.steps.obs.any((2, 3, 4))
    assert abs(dark.mean() - 0.5) < 4.5 * 0.5 / np.sqrt(dark.size)
    same(rollout.steps.obs[~dark], whole.steps.obs[~dark])
    assert whole.steps.obs.any((2, 3, 4)).all()


@pytest.mark.parametrize("view", ["", "Masked", "Flickering"])
def test_the_twin_sees_the_whole_image(view, roll):
    twin = played(roll, f"Breakout{view}", observe="state")[1]
    same(twin.steps.obs, played(roll, "Breakout")[1].steps.obs)


@pytest.mark.parametrize(
    "options", [{"masked": (4,)}, {"flicker": 1.5}, {"max_steps": 0}, {"game": "Brekout"}]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(InputError, match=r"got|nknown"):
        make_env("minatar:Breakout", **options)
