"""Returns, lengths and reset distributions that a correct POPGym port must show."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlseq.envs import make_env

LEVELS = ("Easy", "Medium", "Hard")


def mean_return(roll, env_id, policy, num_envs=64, **options):
    """Over the first episode of each env; all card games of one id have one length."""
    venv = make_env(env_id, num_envs, **options)
    steps = roll(venv, venv.spec.max_steps, policy=policy).steps
    assert steps.terminated[-1].all() and not steps.reset[:-1].any()
    return steps.reward.sum(0, dtype=np.float64)


def answer_lag(lag):
    def policy(key, state, ts):
        at = jnp.maximum(state.time - lag, 0)
        return jnp.take_along_axis(state.cards, at[:, None], axis=1)[:, 0].astype(jnp.int32)

    return policy


def answer_count(cap):
    def policy(key, state, ts):
        query = ts.obs[:, 1:]
        count = jnp.take_along_axis(state.counts, query, axis=1)[:, 0]
        return jnp.minimum(count, cap)

    return policy


@pytest.mark.parametrize(("level", "k"), [("Easy", 4), ("Medium", 32), ("Hard", 64)])
def test_repeat_previous_wants_lag_k_minus_one(roll, level, k):
    env_id = f"popgym:RepeatPrevious{level}"
    np.testing.assert_allclose(mean_return(roll, env_id, answer_lag(k - 1)), 1, rtol=1e-5)
    assert mean_return(roll, env_id, answer_lag(k)).mean() == pytest.approx(-0.5, abs=0.05)


def test_repeat_previous_lag_can_be_that_of_older_ports(roll):
    returns = mean_return(roll, "popgym:RepeatPreviousEasy", answer_lag(4), lag=4)
    np.testing.assert_allclose(returns, 1, rtol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_repeat_first_pays_one_for_the_first_card(roll, level):
    def policy(key, state, ts):
        return state.cards[:, 0].astype(jnp.int32)

    returns = mean_return(roll, f"popgym:RepeatFirst{level}", policy)
    np.testing.assert_allclose(returns, 1, rtol=1e-4)


def best_without_the_largest_answer(num_cards, per_kind):
    """A kind is complete for (N - n) / (n + 1) cards on average; those queries are lost twice."""
    complete = (num_cards - per_kind) / (per_kind + 1)
    return 1 - 2 * complete / (num_cards - 1)


@pytest.mark.parametrize(
    ("level", "num_cards", "per_kind", "quoted"),
    [("Easy", 52, 26, 0.96), ("Medium", 104, 26, 0.94), ("Hard", 208, 16, 0.89)],
)
def test_count_recall_counts_the_card_in_sight(roll, level, num_cards, per_kind, quoted):
    env_id = f"popgym:CountRecall{level}"
    assert make_env(env_id).spec.action_space.n == per_kind + 1
    returns = mean_return(roll, env_id, answer_count(per_kind))
    np.testing.assert_allclose(returns, 1, rtol=1e-5)

    old = {"old_action_space": True}
    assert make_env(env_id, **old).spec.action_space.n == per_kind
    best = best_without_the_largest_answer(num_cards, per_kind)
    assert best == pytest.approx(quoted, abs=0.005)
    capped = mean_return(roll, env_id, answer_count(per_kind - 1), num_envs=1024, **old)
    assert capped.mean() == pytest.approx(best, abs=0.005)


def test_random_cartpole_falls_after_about_24_steps(roll):
    venv = make_env("popgym:PositionOnlyCartPoleEasy", 256, statistics=True)
    rollout = roll(venv, 200)
    ended = rollout.steps.terminated
    lengths = rollout.states.ended_length[ended]
    assert 20 < lengths.mean() < 26
    np.testing.assert_allclose(rollout.states.ended_return[ended], lengths / 200, rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "lengths"),
    [
        ("RepeatPrevious", (51, 103, 155)),
        ("RepeatFirst", (51, 415, 831)),
        ("CountRecall", (51, 103, 207)),
        ("PositionOnlyCartPole", (200, 400, 600)),
    ],
)
def test_lengths_and_kind_of_end(family, lengths):
    for level, length in zip(LEVELS, lengths, strict=True):
        spec = make_env(f"popgym:{family}{level}").spec
        assert spec.max_steps == length
        assert spec.can_truncate == ("CartPole" in family)


def test_cartpole_is_cut_at_its_limit(roll):
    venv = make_env("popgym:PositionOnlyCartPoleEasy", 4, max_steps=5)
    steps = roll(venv, 20).steps
    np.testing.assert_array_equal(steps.truncated.all(1), np.arange(1, 21) % 5 == 0)
    assert not steps.terminated.any()
    np.testing.assert_allclose(steps.reward, 0.2)


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


def test_values_and_queries_are_shuffled_apart():
    state = fresh("popgym:CountRecallMedium")
    assert looks_uniform(state.values[:, 0] * 4 + state.queries[:, 0], np.full(16, 1 / 16))
    np.testing.assert_array_equal(state.counts, np.eye(4, dtype=int)[state.values[:, 0]])


def test_cartpole_starts_uniformly_near_rest():
    state = fresh("popgym:PositionOnlyCartPoleEasy")
    for x in state[1:]:
        assert stats.kstest(x, "uniform", args=(-0.05, 0.1)).pvalue > 1e-3
