"""make_env and env_ids: names, options, bad input, and a light import."""

import subprocess
import sys

import gymnax
import jax
import numpy as np
import pytest

from rlseq import registry
from rlseq.envs import env_ids, make_env
from rlseq.envs.gymnax_family import IDS
from rlseq.envs.popgym import OLD_NAMES
from rlseq.errors import InputError


def test_every_gymnax_environment_that_needs_no_download_is_listed():
    assert set(IDS) == set(gymnax.registered_envs) - {"MNISTBandit-bsuite"}


def test_ids_are_unique_and_cover_every_family():
    ids = env_ids(missing=True)
    assert len(ids) == len(set(ids))
    assert {i.split(":")[0] for i in ids} == set(registry.names("env"))


def test_listing_ids_does_not_import_gymnax(tmp_path):
    code = "import sys, rlseq.envs; rlseq.envs.env_ids(); sys.exit('gymnax' in sys.modules)"
    # Elsewhere than in the checkout, whose own rlseq folder has no envs.
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
@pytest.mark.parametrize("level", ["Easy", "Medium", "Hard"])
def test_names_of_the_paper_and_of_older_ports_are_aliases(old, new, level):
    one, two = (make_env(f"popgym:{name}{level}") for name in (old, new))
    assert vars(one.env) == vars(two.env) and type(one.env) is type(two.env)
    assert one.spec.id.endswith(old + level)


@pytest.mark.parametrize(
    ("env_id", "hint"),
    [
        ("RepeatPreviousEasy", "popgym:RepeatPreviousEasy"),
        ("popgim:RepeatPreviousEasy", "popgym"),
        ("popgym:RepeatPreviosEasy", "RepeatPreviousEasy"),
        ("popgym:StatelesCartPoleHard", "StatelessCartPoleHard"),
        ("gymnax:Cartpole-v1", "CartPole-v1"),
        ("probe:Constnat", "Constant"),
    ],
)
def test_unknown_names_get_the_nearest_match(env_id, hint):
    with pytest.raises(InputError, match=f"Did you mean '{hint}'"):
        make_env(env_id)


def test_of_many_environments_an_error_names_the_nearest_and_the_list_of_all():
    with pytest.raises(InputError) as raised:
        make_env("RepeatPreviousEasy")
    message = str(raised.value)
    assert "popgym:RepeatPreviousMedium" in message and "atari:" not in message
    assert f"and {len(env_ids()) - 8} others (`rlseq list envs` shows all)" in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("env_id", "option", "hint"),
    [
        ("popgym:RepeatPreviousEasy", "num_deck", "num_decks"),
        ("gymnax:MemoryChain-bsuite", "memory_lenght", "memory_length"),
        ("probe:Recall", "dealy", "delay"),
    ],
)
def test_unknown_options_get_the_nearest_match(env_id, option, hint):
    with pytest.raises(InputError, match=f"Did you mean '{hint}'"):
        make_env(env_id, **{option: 3})


@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("popgym:RepeatPreviousEasy", {"k": 52}),
        ("popgym:RepeatPreviousEasy", {"k": 0}),
        ("popgym:RepeatPreviousEasy", {"lag": -1}),
        ("popgym:RepeatPreviousEasy", {"num_decks": 0}),
        ("popgym:RepeatPreviousHard", {"num_decks": 1}),
        ("popgym:RepeatFirstEasy", {"num_decks": -1}),
        ("popgym:CountRecallEasy", {"num_decks": 0}),
        ("popgym:CountRecallEasy", {"deck_type": "suit"}),
        ("popgym:PositionOnlyCartPoleEasy", {"max_steps": 0}),
        ("popgym:VelocityOnlyCartPoleHard", {"max_steps": -1}),
        ("popgym:NoisyPositionOnlyCartPoleEasy", {"noise_sigma": -0.1}),
        ("popgym:NoisyPositionOnlyPendulumEasy", {"noise_sigma": float("nan")}),
        ("popgym:PositionOnlyPendulumEasy", {"max_steps": 0}),
        ("popgym:AutoencodeEasy", {"num_decks": 0}),
        ("popgym:HigherLowerEasy", {"num_decks": -2}),
        ("popgym:MultiarmedBanditEasy", {"num_arms": 0}),
        ("popgym:MultiarmedBanditEasy", {"max_steps": 0}),
        ("popgym:ConcentrationEasy", {"num_decks": 0}),
        ("popgym:ConcentrationEasy", {"deck_type": "suits"}),
        ("popgym:RepeatPreviousEasy", {"lag": 52, "last_card": True}),
        ("probe:Truncated", {"max_steps": 0}),
        ("probe:Recall", {"delay": 0}),
        ("probe:Recall", {"num_cues": 1}),
        ("probe:Catch", {"visible_rows": 0}),
        ("probe:Catch", {"visible_rows": 9}),
        ("probe:Leak", {"max_steps": 0}),
        ("probe:Leak", {"num_envs": 0}),
        ("gymnax:CartPole-v1", {"num_envs": -3}),
    ],
)
def test_impossible_values_are_refused_when_built(env_id, options):
    with pytest.raises(InputError, match=r"got|nknown"):
        make_env(env_id, **options)


def test_gymnax_options_reach_the_constructor_and_the_params(roll):
    venv = make_env("gymnax:MemoryChain-bsuite", 4, num_bits=3, memory_length=2)
    assert venv.spec.obs_space.shape == (5,)
    assert make_env("gymnax:DeepSea-bsuite", size=6).spec.max_steps == 6
    lengths = np.diff(np.flatnonzero(roll(venv, 40).steps.terminated[:, 0]))
    assert (lengths == 3).all()


def test_a_plain_gymnax_environment_of_a_users_family_works(monkeypatch, roll):
    monkeypatch.setitem(registry.TABLES["env"], "mine", "gymnax_users_family:FAMILY")

    class Mine:
        ids = staticmethod(lambda: ["Catch"])
        options = staticmethod(lambda name: {})
        about = staticmethod(lambda name: "Catch of a user's.")
        make = staticmethod(lambda name: gymnax.make("Catch-bsuite"))

    module = type(sys)("gymnax_users_family")
    module.FAMILY = Mine
    monkeypatch.setitem(sys.modules, "gymnax_users_family", module)
    assert "mine:Catch" in env_ids()
    with jax.numpy_dtype_promotion("standard"):
        ours = roll(make_env("gymnax:Catch-bsuite", 2), 12)
    theirs = roll(make_env("mine:Catch", 2), 12)
    jax.tree.map(np.testing.assert_array_equal, ours.steps, theirs.steps)


def test_gymnaxs_own_step_agrees_with_ours_on_our_environments():
    """The environments are gymnax environments: its step works on them, autoreset and all."""
    env, params = registry.load("env", "popgym").make("RepeatPreviousEasy")
    key = jax.random.key(0)
    obs, state = env.reset(key, params)
    new_obs, new_state, reward, terminated, truncated, info = env.step(key, state, 1, params)
    assert int(new_state.time) == 1
    assert not bool(terminated) and not bool(truncated)
    assert int(info["final_observation"]) == int(new_obs) == int(state.cards[1])
    assert int(obs) == int(state.cards[0])
    assert float(reward) == 0
