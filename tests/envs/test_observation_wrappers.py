"""Masked, noisy, flickering and late observations, against numpy twins and by exact values."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

from rlseq.envs import make_env
from rlseq.envs.observation_wrappers import Noisy
from rlseq.envs.spaces import describe
from rlseq.errors import InputError
from rlseq.types import EnvSpec

T, E = 60, 4
# What is seen of each part when nothing is.
NOTHING = {
    "popgym:RepeatPreviousEasy": 4,
    "popgym:CountRecallEasy": 2,
    "popgym:AutoencodeEasy": np.array([2, 4]).reshape(2, 1, 1, 1),
    "gymnax:MountainCar-v0": 0,
}


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@functools.cache
def plain_of(roll, env_id, num_steps, num_envs=E):
    """The environment as it is, rolled once for all tests."""
    return roll(make_env(env_id, num_envs), num_steps)


def rest_of(steps):
    return steps[1:5]


@pytest.mark.parametrize("env_id", ["gymnax:CartPole-v1", "gymnax:Catch-bsuite"])
def test_masked_entries_are_zero_and_the_others_as_they_were(env_id, roll):
    plain = plain_of(roll, env_id, T)
    masked = roll(make_env(env_id, E, obs_mask=(1, 3)), T)
    for before, after in ((plain.first, masked.first), (plain.steps, masked.steps)):
        for seen, raw in ((after.obs, before.obs), (after.final_obs, before.final_obs)):
            twin = raw.copy()
            twin[..., [1, 3]] = 0
            same(seen, twin)
        same(rest_of(after), rest_of(before))
    assert plain.steps.obs[..., 1].any()


def test_entries_of_a_multi_discrete_are_masked(roll):
    seen = roll(make_env("popgym:CountRecallHard", E, obs_mask=[1]), T).steps.obs
    assert not seen[..., 1].any() and len(np.unique(seen[..., 0])) == 13


def test_noise_is_normal_of_its_size_and_drawn_anew(roll):
    plain = roll(make_env("gymnax:Acrobot-v1", 32), 100)
    noisy = roll(make_env("gymnax:Acrobot-v1", 32, obs_noise=0.1), 100)
    same(rest_of(noisy.steps), rest_of(plain.steps))
    noise = (noisy.steps.obs - plain.steps.obs)[..., 4:]  # velocities, far from their bounds
    within = abs(plain.steps.obs[..., 4:]) < 4 * np.pi - 1
    np.testing.assert_allclose(noise[within].mean(), 0, atol=0.004)
    np.testing.assert_allclose(noise[within].std(), 0.1, rtol=0.02)
    for one, other in ((noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.06
    space = make_env("gymnax:Acrobot-v1").spec.obs_space
    assert (abs(noisy.steps.obs) <= np.asarray(space.high)).all()
    assert (noisy.steps.obs[..., 0] == 1).mean() > 0.1  # cos of a hanging pendulum, clipped


def test_the_last_observation_has_noise_of_its_own(roll):
    options = {"max_steps_in_episode": 9}
    plain = roll(make_env("gymnax:CartPole-v1", E, **options), T).steps
    steps = roll(make_env("gymnax:CartPole-v1", E, obs_noise=0.1, **options), T).steps
    reset = steps.reset
    # Up to rounding: the two sums are fused with the physics, each in its own way.
    np.testing.assert_allclose(steps.final_obs[~reset], steps.obs[~reset], rtol=1e-5, atol=1e-6)
    noise = (steps.final_obs - plain.final_obs)[reset], (steps.obs - plain.obs)[reset]
    assert reset.any() and (noise[0] != noise[1]).all()


def test_whole_numbers_stay_whole():
    space = spaces.Box(0, 255, (8, 8, 3), jnp.uint8)
    spec = EnvSpec("a:Image", space, spaces.Discrete(2), can_truncate=False, max_steps=1)
    noisy = Noisy(types.SimpleNamespace(spec=spec, num_envs=64), sigma=3.0)
    grey, black = (jnp.full((64, 8, 8, 3), value, jnp.uint8) for value in (128, 0))
    seen = np.asarray(noisy.change(jax.random.key(0), grey))
    assert seen.dtype == np.uint8
    np.testing.assert_allclose((seen.mean(), seen.std()), (128, 3.0), atol=0.15)
    assert noisy.change(jax.random.key(0), black).max() < 20


@pytest.mark.parametrize(
    ("env_id", "space"),
    [
        ("popgym:RepeatPreviousEasy", "Discrete(5)"),
        ("popgym:CountRecallEasy", "MultiDiscrete(3, 3)"),
        ("popgym:AutoencodeEasy", "Tuple(Discrete(3), Discrete(5))"),
        ("gymnax:MountainCar-v0", "Box(2,)"),
    ],
)
def test_flickering_shows_all_or_nothing(env_id, space, roll):
    venv = make_env(env_id, 32, obs_flicker=0.25)
    assert describe(venv.spec.obs_space) == space
    steps = roll(venv, 120).steps
    parts = jax.tree.leaves(steps.obs)
    plain = jax.tree.leaves(roll(make_env(env_id, 32), 120).steps.obs)
    dark = (np.stack(parts).reshape(len(parts), 120, 32, -1) == NOTHING[env_id]).all((0, 3))
    for seen, raw in zip(parts, plain, strict=True):
        same(seen[~dark], raw[~dark])
    assert abs(dark.mean() - 0.25) < 4.5 * np.sqrt(0.25 * 0.75 / dark.size)


def test_flickering_always_and_never(roll):
    assert (roll(make_env("popgym:RepeatFirstEasy", E, obs_flicker=1.0), T).steps.obs == 4).all()
    shown = roll(make_env("popgym:RepeatFirstEasy", E, obs_flicker=1e-9), T).steps.obs
    assert (shown < 4).all()


@pytest.mark.parametrize("env_id", ["popgym:RepeatPreviousEasy", "popgym:AutoencodeEasy"])
@pytest.mark.parametrize("delay", [1, 3])
def test_late_observations_equal_a_numpy_twin(env_id, delay, roll):
    length = 110
    plain = plain_of(roll, env_id, length)
    late = roll(make_env(env_id, E, obs_delay=delay), length)
    same(rest_of(late.steps), rest_of(plain.steps))
    for first, raw, raw_final, seen, final in zip(
        *(
            jax.tree.leaves(x)
            for x in (
                plain.first.obs,
                plain.steps.obs,
                plain.steps.final_obs,
                late.steps.obs,
                late.steps.final_obs,
            )
        ),
        strict=True,
    ):
        for e in range(E):
            history = [first[e]]
            for t in range(length):
                shown_at = max(0, len(history) - delay)
                ended_on = [*history, raw_final[t, e]][shown_at]
                history = [raw[t, e]] if plain.steps.reset[t, e] else [*history, raw[t, e]]
                assert seen[t, e] == history[max(0, len(history) - 1 - delay)]
                assert final[t, e] == ended_on


def test_a_fresh_episode_shows_its_own_first_observation_at_once(roll):
    plain, late = (roll(make_env("probe:Leak", E, **s), T).steps for s in ({}, {"obs_delay": 4}))
    same(late.obs[late.reset], plain.obs[plain.reset])


def test_switches_go_together_in_their_order(roll):
    switches = {"obs_mask": (0,), "obs_noise": 0.1, "obs_flicker": 0.5, "obs_delay": 2}
    venv = make_env("gymnax:CartPole-v1", E, previous_action=True, flatten=True, **switches)
    rollout = roll(venv, T)
    assert rollout.steps.obs.shape == (T, E, 4 + 2)
    # masked first and noisy then: the masked entry is noise alone, or dark
    shown = rollout.steps.obs[..., 0]
    assert 0.03 < shown.std() < 0.1
    assert 0.3 < (shown == 0).mean() < 0.7


@pytest.mark.parametrize(
    ("env_id", "switch"),
    [
        ("popgym:RepeatFirstEasy", {"obs_mask": (0,)}),
        ("gymnax:CartPole-v1", {"obs_mask": (4,)}),
        ("popgym:RepeatFirstEasy", {"obs_noise": 0.1}),
        ("gymnax:CartPole-v1", {"obs_noise": -0.1}),
        ("gymnax:CartPole-v1", {"obs_noise": float("nan")}),
        ("probe:Leak", {"obs_flicker": 1.5}),
        ("probe:Leak", {"obs_flicker": -0.5}),
        ("probe:Leak", {"obs_delay": -1}),
    ],
)
def test_impossible_values_are_refused_when_built(env_id, switch):
    with pytest.raises(InputError, match=next(iter(switch))):
        make_env(env_id, **switch)
