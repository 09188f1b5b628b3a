"""Returns of MineSweeper and Battleship, and the law of their fresh boards."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlseq.envs import make_env
from rlseq.errors import InputError

from .against_popgym import upstream
from .side_by_side import together

LEVELS = ("Easy", "Medium", "Hard")


@functools.cache
def returns(roll, env_id, *players):
    """For each of (policy, copies), by the name of the policy: returns of the first episode of each
    copy, and whether it ended by termination."""
    named = [(POLICIES[name], copies) for name, copies in players]
    policy, num_envs, places = together(*named)
    venv = make_env(env_id, num_envs)
    steps = roll(venv, venv.spec.max_steps, policy=policy).steps
    ended = np.cumsum(steps.reset, axis=0)
    first = ended - steps.reset == 0
    assert (ended[-1] >= 1).all()
    earned = (steps.reward * first).sum(0, dtype=np.float64)
    terminated = (steps.terminated & first).any(0)
    parts = zip(players, places, strict=True)
    return {name: (earned[mine], terminated[mine]) for (name, _), mine in parts}


def one_of(key, allowed):
    """A uniform choice among the True squares of allowed [E, N, N]: int32 [E, 2]."""
    noise = jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1.0)
    best = jnp.argmax(noise.reshape(len(allowed), -1), axis=1).astype(jnp.int32)
    return jnp.stack(jnp.divmod(best, jnp.int32(allowed.shape[-1])), axis=1)


POLICIES = {
    "mine oracle": lambda key, state, ts: one_of(key, ~state.mines & ~state.viewed),
    "mine no repeats": lambda key, state, ts: one_of(key, ~state.viewed),
    "ship oracle": lambda key, state, ts: one_of(key, state.ships & ~state.guessed),
    "ship no repeats": lambda key, state, ts: one_of(key, ~state.guessed),
    "ship random": lambda key, state, ts: one_of(key, jnp.ones_like(state.ships)),
}


CHANCE = {
    ("MineSweeper", "mine no repeats"): (-0.24, -0.39, -0.43),
    ("Battleship", "ship no repeats"): (0.07, 0.07, 0.07),
    ("Battleship", "ship random"): (-0.449, -0.416, -0.399),  # hits 12 (1 - 1 / e)
}
# Usually the larger seas are played without mistakes alone, which needs fewer copies.
PLAYED = [
    pytest.param(*who, level, value, marks=pytest.mark.slow if slow else ())
    for who, values in CHANCE.items()
    for level, value in zip(LEVELS, values, strict=True)
    for slow in [who[0] == "Battleship" and level != "Easy"]
]


def played(roll, family, level):
    """What all players of one board earn who are not slow, by their names."""
    oracle = "mine oracle" if family == "MineSweeper" else "ship oracle"
    chance = [p.values[1] for p in PLAYED if p.values[::2] == (family, level) and not p.marks]
    return returns(roll, f"popgym:{family}{level}", (oracle, 16), *((who, 500) for who in chance))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("family", "who"), [("MineSweeper", "mine"), ("Battleship", "ship")])
def test_perfect_play_earns_one_and_terminates(roll, level, family, who):
    earned, terminated = played(roll, family, level)[f"{who} oracle"]
    np.testing.assert_allclose(earned, 1, rtol=1e-5)
    assert terminated.all()


@pytest.mark.parametrize(("family", "policy", "level", "expected"), PLAYED)
def test_chance_earns_what_it_earns_in_popgym(roll, family, policy, level, expected):
    names = played(roll, family, level)
    if policy not in names:
        names = returns(roll, f"popgym:{family}{level}", (policy, 500))
    earned, _ = names[policy]
    assert earned.mean() == pytest.approx(expected, abs=0.02)


def fresh(env_id, num, **options):
    state, _ = jax.jit(make_env(env_id, num, **options).reset)(jax.random.key(5))
    return jax.tree.map(np.asarray, state)


def is_uniform(codes, num):
    """chi-square over the cells seen; the seed is fixed, so this cannot flicker."""
    _, counts = np.unique(codes, axis=0, return_counts=True)
    return len(counts) == num and stats.chisquare(counts).pvalue > 1e-3


def test_mines_are_uniform_over_pairs_of_squares():
    mines = fresh("popgym:MineSweeperEasy", 12000).mines.reshape(-1, 16)
    assert (mines.sum(1) == 2).all()
    assert is_uniform(mines, 120)


def test_a_ship_is_uniform_over_its_places():
    ships = fresh("popgym:BattleshipEasy", 6000, board_size=3, ship_sizes=(2,)).ships
    assert is_uniform(ships.reshape(-1, 9), 12)


def test_boards_have_the_law_of_popgyms():
    """Squares of the whole fleet, and squares far from the border, as often as upstream."""
    env = upstream("BattleshipEasy")
    theirs = []
    for seed in range(1500):
        env.reset(seed=seed)
        theirs.append(env.board)
    ours = fresh("popgym:BattleshipEasy", 6000).ships.astype(int)
    assert (ours.sum((1, 2)) == 12).all()
    for quarter in (np.s_[:2, :2], np.s_[2:6, 2:6], np.s_[:, 0]):
        counts = [[len(x), x[:, *quarter].sum()] for x in (np.array(theirs), ours)]
        rates = [found / boards for boards, found in counts]
        spread = ours[:, *quarter].reshape(len(ours), -1).sum(1).std() / np.sqrt(1500)
        assert rates[0] == pytest.approx(rates[1], abs=4 * spread)


@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("MineSweeperEasy", {"num_mines": 14}),
        ("MineSweeperEasy", {"num_mines": 0}),
        ("MineSweeperEasy", {"size": -4}),
        ("BattleshipEasy", {"board_size": 4}),
        ("BattleshipEasy", {"ship_sizes": ()}),
        ("BattleshipEasy", {"ship_sizes": (9,)}),
        ("BattleshipEasy", {"board_size": 1, "ship_sizes": (1,)}),
    ],
)
def test_impossible_boards_are_refused(env_id, options):
    with pytest.raises(InputError, match=r"got|too many"):
        make_env(f"popgym:{env_id}", **options)
