"""Returns and lengths that a correct POPGym port must show: players who see the hidden state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.envs import make_env

from .side_by_side import together

LEVELS = ("Easy", "Medium", "Hard")
UNCUT = ("RepeatPrevious", "RepeatFirst", "CountRecall", "Autoencode", "HigherLower")


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
    policy, num_envs, (right, late) = together((answer_lag(k - 1), 64), (answer_lag(k), 64))
    returns = mean_return(roll, f"popgym:RepeatPrevious{level}", policy, num_envs)
    np.testing.assert_allclose(returns[right], 1, rtol=1e-5)
    assert returns[late].mean() == pytest.approx(-0.5, abs=0.05)


def test_repeat_previous_lag_can_be_that_of_older_ports(roll):
    returns = mean_return(roll, "popgym:RepeatPreviousEasy", answer_lag(4), lag=4)
    np.testing.assert_allclose(returns, 1, rtol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_repeat_first_pays_one_for_the_first_card(roll, level):
    def policy(key, state, ts):
        return state.cards[:, 0].astype(jnp.int32)

    returns = mean_return(roll, f"popgym:RepeatFirst{level}", policy)
    np.testing.assert_allclose(returns, 1, rtol=1e-4)


def test_the_last_card_can_be_asked_about_as_in_older_ports(roll):
    """N steps; RepeatPrevious has N - lag answers, RepeatFirst keeps its scale, the tie pays 0."""
    first = {"policy": lambda key, state, ts: state.cards[:, 0].astype(jnp.int32)}
    returns = mean_return(roll, "popgym:RepeatFirstEasy", **first, last_card=True)
    np.testing.assert_allclose(returns, 52 / 51, rtol=1e-5)
    paper = {"lag": 64, "last_card": True}
    venv = make_env("popgym:RepeatPreviousHard", 2, **paper)
    steps = roll(venv, 156, policy=answer_lag(64)).steps
    np.testing.assert_allclose(steps.reward[64:], 1 / 92, rtol=1e-5)
    assert (steps.reward[:64] == 0).all() and steps.terminated[-1].all()
    last = roll(make_env("popgym:HigherLowerEasy", 4, last_card=True), 52).steps
    assert (last.reward[-1] == 0).all() and last.terminated[-1].all()


@pytest.mark.parametrize("level", LEVELS)
def test_autoencode_wants_the_cards_backwards(roll, level):
    def recall(key, state, ts):
        n = state.cards.shape[1]
        at = jnp.clip(2 * n - 2 - state.time, 0, n - 1)
        return jnp.take_along_axis(state.cards, at[:, None], axis=1)[:, 0].astype(jnp.int32)

    def any_suit(key, state, ts):
        return jax.random.randint(key, ts.reward.shape, 0, 4)

    policy, num_envs, (right, blind) = together((recall, 64), (any_suit, 256))
    returns = mean_return(roll, f"popgym:Autoencode{level}", policy, num_envs)
    np.testing.assert_allclose(returns[right], 1, rtol=1e-5)
    assert returns[blind].mean() == pytest.approx(-0.5, abs=0.02)


def by_rank(key, state, ts):
    return (ts.obs >= 6).astype(jnp.int32)


def by_counting(key, state, ts):
    """What is left above the card in sight against what is left below."""
    n = state.cards.shape[1]
    left = jnp.arange(n, dtype=jnp.int32)[None] > state.time[:, None]
    now = ts.obs[:, None].astype(jnp.int8)
    above = (left & (state.cards > now)).sum(1)
    return (above < (left & (state.cards < now)).sum(1)).astype(jnp.int32)


@pytest.mark.parametrize(
    ("level", "ranked", "counted"),
    # Expected over 5,000 to 20,000 decks in NumPy, to .0003.
    [("Easy", 0.497, 0.527), ("Medium", 0.497, 0.516), ("Hard", 0.498, 0.512)],
)
def test_higher_lower_earns_what_it_earns_in_popgym(roll, level, ranked, counted):
    policy, num_envs, players = together((by_rank, 2000), (by_counting, 2000))
    returns = mean_return(roll, f"popgym:HigherLower{level}", policy, num_envs)
    for mine, value in zip(players, (ranked, counted), strict=True):
        assert returns[mine].mean() == pytest.approx(value, abs=0.008)


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
        ("VelocityOnlyCartPole", (200, 400, 600)),
        ("NoisyPositionOnlyCartPole", (200, 200, 200)),
        ("PositionOnlyPendulum", (200, 150, 100)),
        ("NoisyPositionOnlyPendulum", (200, 200, 200)),
        ("Autoencode", (103, 207, 311)),
        ("HigherLower", (51, 103, 155)),
        ("MultiarmedBandit", (200, 400, 600)),
        ("Concentration", (104, 208, 104)),
    ],
)
def test_lengths_and_kind_of_end(family, lengths):
    for level, length in zip(LEVELS, lengths, strict=True):
        spec = make_env(f"popgym:{family}{level}").spec
        assert spec.max_steps == length
        assert spec.can_truncate == (family not in UNCUT)


def test_cartpole_is_cut_at_its_limit(roll):
    venv = make_env("popgym:PositionOnlyCartPoleEasy", 4, max_steps=5)
    steps = roll(venv, 20).steps
    np.testing.assert_array_equal(steps.truncated.all(1), np.arange(1, 21) % 5 == 0)
    assert not steps.terminated.any()
    np.testing.assert_allclose(steps.reward, 0.2)
