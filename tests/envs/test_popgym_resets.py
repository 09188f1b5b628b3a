"""Fresh episodes: whole decks in random order, starts and chances with the law of popgym's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlseq.envs import make_env

from .against_popgym import upstream


def fresh(env_id, num=4000):
    state, _ = jax.jit(make_env(env_id, num).reset)(jax.random.key(11))
    return jax.tree.map(np.asarray, state)


def looks_uniform(cells, probabilities):
    """chi-square over counts of cells; the seed is fixed, so this cannot flicker."""
    counts = np.bincount(cells, minlength=len(probabilities))
    return stats.chisquare(counts, np.asarray(probabilities) * len(cells)).pvalue > 1e-3


def test_decks_are_whole_and_dealt_without_replacement():
    suits = fresh("popgym:RepeatPreviousEasy").cards
    assert all((np.sort(deck) == np.repeat(np.arange(4), 13)).all() for deck in suits)
    same, other = 13 * 12 / (52 * 51), 13 * 13 / (52 * 51)
    pairs = [same if i == j else other for i in range(4) for j in range(4)]
    for at in (0, 25, 50):
        assert looks_uniform(suits[:, at] * 4 + suits[:, at + 1], pairs)


@pytest.mark.parametrize(
    ("env_id", "kinds"),
    [
        ("AutoencodeMedium", 4),
        ("HigherLowerHard", 13),
        ("ConcentrationEasy", 2),
        ("ConcentrationHard", 13),
        ("RepeatFirstEasy", 4),
    ],
)
def test_every_place_of_a_deck_gets_every_kind(env_id, kinds):
    cards = fresh(f"popgym:{env_id}").cards
    each = cards.shape[1] // kinds
    assert all((np.sort(deck) == np.repeat(np.arange(kinds), each)).all() for deck in cards)
    for at in (0, cards.shape[1] // 2, -1):
        assert looks_uniform(cards[:, at], np.full(kinds, 1 / kinds))


def test_values_and_queries_are_shuffled_apart():
    state = fresh("popgym:CountRecallMedium")
    assert looks_uniform(state.values[:, 0] * 4 + state.queries[:, 0], np.full(16, 1 / 16))
    np.testing.assert_array_equal(state.counts, np.eye(4, dtype=int)[state.values[:, 0]])


@pytest.mark.parametrize("family", ["PositionOnly", "VelocityOnly", "NoisyPositionOnly"])
def test_cartpole_starts_uniformly_near_rest(family):
    state = fresh(f"popgym:{family}CartPoleEasy")
    for x in state[1:]:
        assert stats.kstest(x, "uniform", args=(-0.05, 0.1)).pvalue > 1e-3


def popgyms(name, read, num=600):
    env, found = upstream(name), []
    for seed in range(num):
        env.reset(seed=seed)
        found.append(read(env))
    return np.array(found, np.float64).T


def same_law(ours, theirs):
    return stats.ks_2samp(ours, theirs).pvalue > 1e-3


@pytest.mark.parametrize("name", ["PositionOnlyPendulumEasy", "NoisyPositionOnlyPendulumHard"])
def test_pendulums_start_as_popgyms_do(name):
    state = fresh(f"popgym:{name}")
    assert stats.kstest(state.theta, "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 1e-3
    assert stats.kstest(state.theta_dot, "uniform", args=(-1, 2)).pvalue > 1e-3
    theirs = popgyms(name, lambda env: env.state)
    assert same_law(state.theta, theirs[0]) and same_law(state.theta_dot, theirs[1])


def test_chances_of_arms_are_uniform():
    chances = fresh("popgym:MultiarmedBanditEasy").chances
    assert stats.kstest(chances.ravel(), "uniform").pvalue > 1e-3
    assert same_law(chances[:, 0], popgyms("MultiarmedBanditEasy", lambda e: e.bandits)[0])
    assert same_law(chances.max(1), popgyms("MultiarmedBanditEasy", lambda e: [e.bandits.max()])[0])


@pytest.mark.parametrize("name", ["NoisyPositionOnlyCartPoleHard", "NoisyPositionOnlyPendulumHard"])
def test_first_observations_have_the_law_of_popgyms(name):
    _, ts = jax.jit(make_env(f"popgym:{name}", 4000).reset)(jax.random.key(4))
    theirs, env = [], upstream(name)
    for seed in range(600):
        theirs.append(env.reset(seed=seed)[0])
    for ours, other in zip(np.asarray(ts.obs).T, np.array(theirs, np.float64).T, strict=True):
        assert same_law(ours, other)


def test_successive_ranks_are_drawn_without_replacement():
    """HigherLower: a tie is rarer than among independent ranks, by the law of popgym's decks."""
    cards = fresh("popgym:HigherLowerEasy").cards
    ties = np.mean(cards[:, 1:] == cards[:, :-1])
    assert ties == pytest.approx(3 / 51, abs=0.002)


def test_keys_decide_and_differ():
    venv = make_env("popgym:ConcentrationEasy", 2)
    one, two = (venv.reset(jax.random.key(seed))[0].cards for seed in (0, 1))
    assert jnp.any(one[0] != one[1]) and jnp.any(one != two)
