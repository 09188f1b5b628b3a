"""Our POPGym environments against the popgym package: same hidden state, same actions, same all."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import popgym.envs.count_recall
import popgym.envs.position_only_cartpole
import popgym.envs.repeat_first
import popgym.envs.repeat_previous
import pytest
from hypothesis import strategies as st

from rlseq.envs.popgym import FAMILY
from rlseq.envs.popgym.count_recall import CountRecallState
from rlseq.envs.popgym.position_only_cartpole import CartPoleState
from rlseq.envs.popgym.repeat_first import RepeatFirstState
from rlseq.envs.popgym.repeat_previous import RepeatPreviousState

# Every example has one shape, so nothing recompiles; time is not what is tested.
steady = hypothesis.settings(deadline=None, derandomize=True, max_examples=12)
seeds = st.integers(0, 2**31 - 1)


def upstream(name):
    package = popgym.envs
    for module in ("repeat_previous", "repeat_first", "count_recall", "position_only_cartpole"):
        if hasattr(getattr(package, module), name):
            return getattr(getattr(package, module), name)()
    raise AssertionError(f"popgym has no {name}")


def dealt(deck, kinds):
    """The kinds of popgym's deck in the order of dealing, which is from the end."""
    return kinds[deck.idx[::-1]].astype(np.int8)


def previous_state(env):
    return RepeatPreviousState(np.int32(0), dealt(env.deck, env.deck.suits_idx))


def first_state(env):
    return RepeatFirstState(np.int32(0), dealt(env.deck, env.deck.suits_idx))


def count_state(env):
    values = dealt(env.value_deck, env.deck_idx_type)
    queries = dealt(env.query_deck, env.deck_idx_type)
    counts = np.bincount(values[:1], minlength=env.num_distinct_cards).astype(np.int32)
    return CountRecallState(np.int32(0), values, queries, counts)


def answer_previous(env):
    hand = env.deck["player"]
    return env.deck.suits_idx[hand[-env.k]] if len(hand) >= env.k else 0


def answer_first(env):
    return env.card


def answer_count(env):
    return env.counts[env.query]


CARDS = {
    "RepeatPrevious": (previous_state, answer_previous),
    "RepeatFirst": (first_state, answer_first),
    "CountRecall": (count_state, answer_count),
}


def play_upstream(env, answer, seed):
    """One episode; half of the actions are right, so that both rewards are seen."""
    rng = np.random.default_rng(seed)
    obs, _ = env.reset(seed=seed)
    log = {"obs": [obs], "action": [], "reward": [], "terminated": [], "truncated": []}
    terminated = truncated = False
    while not (terminated or truncated):
        action = answer(env) if rng.random() < 0.5 else rng.integers(env.action_space.n)
        obs, reward, terminated, truncated, _ = env.step(int(action))
        for key, x in zip(log, (obs, action, reward, terminated, truncated), strict=True):
            log[key].append(x)
    return {key: np.asarray(values) for key, values in log.items()}


@functools.cache
def replay(name):
    """(state, actions [L]) -> first obs and, for each step, obs, reward, terminated, truncated."""
    env, params = FAMILY.make(name)
    key = jax.random.key(0)

    def step(state, action):
        obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
        return state, (obs, reward, terminated, env.is_truncated(state, params))

    @jax.jit
    def run(state, actions):
        first = env.observe(key, state, None, params)
        return first, jax.lax.scan(step, state, actions)[1]

    return env, run


def same_episode(name, seed):
    make_state, answer = CARDS[
        name.removesuffix("Easy").removesuffix("Medium").removesuffix("Hard")
    ]
    theirs_env = upstream(name)
    theirs = play_upstream(theirs_env, answer, seed)
    env, run = replay(name)
    actions = jnp.asarray(theirs["action"], jnp.int32)
    assert len(actions) == env.max_steps
    state = jax.tree.map(jnp.asarray, make_state(theirs_env))
    first, (obs, reward, terminated, truncated) = run(state, actions)
    np.testing.assert_array_equal(np.concatenate([first[None], obs]), theirs["obs"])
    np.testing.assert_allclose(reward, theirs["reward"], rtol=1e-6)
    np.testing.assert_array_equal(terminated, theirs["terminated"])
    np.testing.assert_array_equal(truncated, theirs["truncated"])
    assert {np.sign(x) for x in theirs["reward"]} >= {-1, 1}


@pytest.mark.parametrize("name", [n for n in FAMILY.ids() if n.startswith(tuple(CARDS))])
@steady
@hypothesis.given(seed=seeds)
def test_card_games_equal_popgym_step_by_step(name, seed):
    same_episode(name, seed)


def balance(env, rng):
    """Keeps the pole up for long; a little noise makes some episodes fall."""
    _, x_dot, theta, theta_dot = env.state
    if rng.random() < 0.05:
        return int(rng.integers(2))
    return int(theta + 0.4 * theta_dot + 0.05 * x_dot > 0)


def cartpole_transitions(env, num_episodes):
    """Upstream transitions of balanced and of random episodes: one row a step."""
    rng = np.random.default_rng(7)
    rows = []
    for episode in range(num_episodes):
        env.reset(seed=episode)
        ended = False
        while not ended:
            before = (env.num_steps, *env.state)
            action = balance(env, rng) if episode % 4 == 0 else int(rng.integers(2))
            obs, reward, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
            rows.append((*before, action, *obs, reward, terminated, truncated, *env.state))
    return np.array(rows, np.float64)


@pytest.mark.parametrize("name", [n for n in FAMILY.ids() if "CartPole" in n])
def test_cartpole_equals_popgym_from_each_of_its_states(name):
    rows = cartpole_transitions(upstream(name), num_episodes=60)
    env, params = FAMILY.make(name)
    time, *hidden = rows[:, :5].T
    state = CartPoleState(jnp.asarray(time, jnp.int32), *jnp.asarray(hidden, jnp.float32))
    action = jnp.asarray(rows[:, 5], jnp.int32)
    step = jax.jit(jax.vmap(env.step_env, in_axes=(None, 0, 0, None)))
    obs, state, reward, terminated, _ = step(jax.random.key(0), state, action, params)
    truncated = jax.vmap(env.is_truncated, in_axes=(0, None))(state, params)

    np.testing.assert_allclose(obs, rows[:, 6:8], atol=1e-6)
    np.testing.assert_allclose(np.stack(state[1:], 1), rows[:, 11:], atol=2e-6)
    np.testing.assert_allclose(reward, rows[:, 8], rtol=1e-6)
    np.testing.assert_array_equal(truncated, rows[:, 10])
    # Where a threshold is met to within float32, the two may differ: leave those rows out.
    margin = np.abs(np.abs(rows[:, [11, 13]]) - [2.4, 12 * 2 * np.pi / 360]).min(1)
    clear = margin > 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(terminated[clear], rows[clear, 9])
    assert rows[:, 9].sum() >= 20 and rows[:, 10].sum() >= 5


@pytest.mark.parametrize("name", [n for n in FAMILY.ids() if n.startswith((*CARDS, "Pos"))])
def test_spaces_are_those_of_popgym(name):
    theirs = upstream(name)
    env, params = FAMILY.make(name)
    for ours, other in (
        (env.action_space(params), theirs.action_space),
        (env.observation_space(params), theirs.observation_space),
    ):
        assert type(ours).__name__ == type(other).__name__
        assert ours.shape == other.shape
        for attribute in {"n", "nvec", "low", "high"} & set(vars(other)):
            np.testing.assert_allclose(getattr(ours, attribute), getattr(other, attribute))
