"""Returns of players with a memory of their own: MultiarmedBandit and Concentration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.envs import make_env

LEVELS = ("Easy", "Medium", "Hard")


def earned(env_id, act, remember_nothing, num_envs):
    """[E], returns of first episodes under act(memory, key, state, time step)."""
    venv = make_env(env_id, num_envs)

    def body(carry, key):
        state, ts, memory, going, total = carry
        act_key, step_key = jax.random.split(key)
        memory, action = act(memory, act_key, state, ts)
        state, ts = venv.step(state, action, step_key)
        total = total + jnp.where(going, ts.reward, 0)
        return (state, ts, memory, going & ~ts.reset, total), None

    @jax.jit
    def run(key):
        state, ts = venv.reset(key)
        going, total = jnp.ones(num_envs, bool), jnp.zeros(num_envs)
        carry = (state, ts, remember_nothing(venv), going, total)
        return jax.lax.scan(body, carry, jax.random.split(key, venv.spec.max_steps))[0]

    *_, going, total = run(jax.random.key(0))
    assert not going.any()
    return np.asarray(total, np.float64)


def highest(x):
    return jnp.argmax(x, axis=1).astype(jnp.int32)


def no_pulls(venv):
    nothing = jnp.zeros((venv.num_envs, venv.spec.action_space.n))
    return nothing, nothing, nothing


def pulling(choose):
    """A player of choose(key, wins [E, A], losses [E, A])."""

    def act(memory, key, state, ts):
        wins, losses, pulled = memory
        won = ts.obs[:, None].astype(jnp.float32)
        wins, losses = wins + pulled * won, losses + pulled * (1 - won)
        arm = choose(key, wins, losses)
        return (wins, losses, jax.nn.one_hot(arm, wins.shape[1])), arm

    return act


def thompson(key, wins, losses):
    return highest(jax.random.beta(key, 1 + wins, 1 + losses))


def greedy(key, wins, losses):
    """The arm of the highest posterior mean, at random among equals."""
    mean = (1 + wins) / (2 + wins + losses)
    return highest(mean + 1e-5 * jax.random.uniform(key, mean.shape))


BANDITS = {
    "thompson": pulling(thompson),
    "greedy": pulling(greedy),
    "oracle": lambda memory, key, state, ts: (memory, highest(state.chances)),
}


PAID = {
    "oracle": (500, (0.818, 0.905, 0.935)),  # 2 n / (n + 1) - 1
    "greedy": (1000, (0.61, 0.64, 0.66)),
    "thompson": (100, (0.64, 0.74, 0.78)),
}
# Draws of a beta distribution take long: the longer levels of one player in three are slow tests.
PLAYED = [
    pytest.param(player, at, marks=pytest.mark.slow if player == "thompson" and at else ())
    for player in PAID
    for at in range(len(LEVELS))
]


@pytest.mark.parametrize(("player", "at"), PLAYED)
def test_bandits_pay_what_they_pay_in_popgym(player, at):
    num_envs, expected = PAID[player]
    env_id = f"popgym:MultiarmedBandit{LEVELS[at]}"
    returns = earned(env_id, BANDITS[player], no_pulls, num_envs)
    assert returns.mean() == pytest.approx(expected[at], abs=0.03)


def nothing_seen(venv):
    return jnp.full((venv.num_envs, venv.spec.action_space.n), -1, jnp.int32)


def any_of(key, allowed):
    """A uniform choice among the True places of allowed [E, N]: int32 [E]."""
    return highest(jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1.0))


def perfect_memory(known, key, state, ts):
    """A card known to have a known mate, else one not seen yet; known [E, N], -1 unknown."""
    seen = state.face_up | jnp.any(at_places(state.turned, known.shape[1]), axis=1)
    known = jnp.where(seen, state.cards.astype(jnp.int32), known)
    first = state.turned[:, 0]
    is_second = (first >= 0) & (state.turned[:, 1] < 0)
    open_to = (known >= 0) & ~state.face_up
    kind = jnp.maximum(known, 0)
    places = jnp.arange(known.shape[1], dtype=jnp.int32)[None]
    rows = jnp.arange(len(known), dtype=jnp.int32)[:, None]
    # Not every card against every other one, which takes several times as long.
    alike = jnp.zeros_like(known).at[rows, kind].add(open_to.astype(jnp.int32))
    paired = open_to & (jnp.take_along_axis(alike, kind, axis=1) > 1)
    place = jnp.maximum(first, 0)[:, None]
    of_first = paired & (kind == jnp.take_along_axis(kind, place, axis=1)) & (places != place)
    of_first = of_first & jnp.take_along_axis(open_to, place, axis=1)
    mates = jnp.where(is_second[:, None], of_first, paired)
    return known, any_of(key, jnp.where(mates.any(1)[:, None], mates, known < 0))


def at_places(pair, num):
    """bool [E, 2, N]: True at the places pair [E, 2]."""
    return pair[:, :, None] == jnp.arange(num, dtype=jnp.int32)[None, None]


PAIRS = {
    "perfect": perfect_memory,
    "random": lambda known, key, state, ts: (known, any_of(key, known < 0)),
}


@pytest.mark.parametrize(
    ("player", "expected"),
    [("perfect", (0.82, 0.82, 0.70)), ("random", (-0.19, -0.18, -0.83))],
)
def test_concentration_pays_what_it_pays_in_popgym(player, expected):
    for level, value in zip(LEVELS, expected, strict=True):
        returns = earned(f"popgym:Concentration{level}", PAIRS[player], nothing_seen, 200)
        assert returns.mean() == pytest.approx(value, abs=0.02)
