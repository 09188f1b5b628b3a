"""MineSweeper and Battleship against the popgym package, their returns and their fresh boards."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import popgym.envs.battleship
import popgym.envs.minesweeper
import pytest
from scipy import stats

from rlseq.envs import make_env
from rlseq.envs.popgym import FAMILY
from rlseq.envs.popgym.battleship import BattleshipState
from rlseq.envs.popgym.minesweeper import MineSweeperState
from rlseq.errors import InputError

LEVELS = ("Easy", "Medium", "Hard")
BOARDS = [family + level for family in ("MineSweeper", "Battleship") for level in LEVELS]
NO = np.zeros((), bool)


def mine_state(env):
    grid = env.hidden_grid
    return MineSweeperState(np.int32(0), grid == 1, grid == 2, NO)


def ship_state(env):
    return BattleshipState(np.int32(0), env.board == 1, env.guesses == 1, NO)


def upstream(name):
    package = popgym.envs.minesweeper if "Mine" in name else popgym.envs.battleship
    return getattr(package, name)()


def targets(name, env):
    """Where a player who sees everything would act, [n, 2]."""
    good = env.hidden_grid == 0 if "Mine" in name else (env.board == 1) & (env.guesses == 0)
    return np.argwhere(good)


def play_upstream(name, seed):
    """One episode; how often it acts well differs, so that every kind of end is seen."""
    env, rng = upstream(name), np.random.default_rng(seed)
    skill = rng.choice([0.0, 0.5, 0.9, 1.0])
    first, _ = env.reset(seed=seed)
    state = (mine_state if "Mine" in name else ship_state)(env)
    rows, action, ended = [], None, False
    while not ended:
        again = "Mine" in name and action is not None and rng.random() < 0.1
        if not again:
            good = targets(name, env)
            lucky = rng.random() < skill
            action = rng.choice(good) if lucky else rng.integers(env.action_space.nvec)
        obs, reward, terminated, truncated, _ = env.step(tuple(action.tolist()))
        ended = terminated or truncated
        rows.append((*action, obs, reward, terminated, truncated))
    return state, first, np.array(rows, np.float64)


def ours(name, states, actions):
    """obs [B], then obs, reward, terminated, truncated [B, T] under the given actions [B, T, 2]."""
    env, params = FAMILY.make(name)
    key = jax.random.key(0)

    def step(state, action):
        obs, state, reward, terminated, _ = env.step_env(key, state, action, params)
        return state, (obs, reward, terminated, env.is_truncated(state, params))

    @jax.jit
    @jax.vmap
    def run(state, actions):
        first = env.observe(key, state, None, params)
        return first, jax.lax.scan(step, state, actions)[1]

    return run(states, jnp.asarray(actions, jnp.int32))


def compare_episodes(name, num_episodes):
    states, firsts, rows = zip(*(play_upstream(name, s) for s in range(num_episodes)), strict=True)
    longest = FAMILY.make(name)[0].max_steps
    actions = np.stack([np.pad(r[:, :2], ((0, longest - len(r)), (0, 0))) for r in rows])
    states = jax.tree.map(lambda *x: jnp.asarray(np.stack(x)), *states)
    first, (obs, reward, terminated, truncated) = ours(name, states, actions)
    np.testing.assert_array_equal(first, firsts)
    for i, row in enumerate(rows):
        got = slice(len(row))
        np.testing.assert_array_equal(obs[i, got], row[:, 2])
        np.testing.assert_allclose(reward[i, got], row[:, 3], rtol=1e-6)
        np.testing.assert_array_equal(terminated[i, got], row[:, 4])
        # Of an episode that is both won and out of time, we say that it terminated.
        np.testing.assert_array_equal(
            truncated[i, got] & ~terminated[i, got], row[:, 5] * (1 - row[:, 4])
        )
    ends = np.array([row[-1, 4:] for row in rows])
    assert ends.any(0).all(), "both kinds of end should be seen"


@pytest.mark.parametrize("name", BOARDS)
def test_boards_equal_popgym_step_by_step(name):
    compare_episodes(name, 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", BOARDS)
def test_boards_equal_popgym_over_thousands_of_episodes(name):
    compare_episodes(name, 2000)


def returns(roll, env_id, policy, num_envs=500):
    """[E] of the first episode of each copy, and whether it ended by termination."""
    venv = make_env(env_id, num_envs)
    steps = roll(venv, venv.spec.max_steps, policy=policy).steps
    ended = np.cumsum(steps.reset, axis=0)
    first = ended - steps.reset == 0
    assert (ended[-1] >= 1).all()
    return (steps.reward * first).sum(0, dtype=np.float64), (steps.terminated & first).any(0)


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


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("family", "who"), [("MineSweeper", "mine"), ("Battleship", "ship")])
def test_perfect_play_earns_one_and_terminates(roll, level, family, who):
    earned, terminated = returns(roll, f"popgym:{family}{level}", POLICIES[f"{who} oracle"], 16)
    np.testing.assert_allclose(earned, 1, rtol=1e-5)
    assert terminated.all()


@pytest.mark.parametrize(
    ("family", "policy", "expected"),
    [
        ("MineSweeper", "mine no repeats", (-0.24, -0.39, -0.43)),
        ("Battleship", "ship no repeats", (0.07, 0.07, 0.07)),
        ("Battleship", "ship random", (-0.449, -0.416, -0.399)),  # hits 12 (1 - 1 / e)
    ],
)
def test_chance_earns_what_it_earns_in_popgym(roll, family, policy, expected):
    for level, value in zip(LEVELS, expected, strict=True):
        earned, _ = returns(roll, f"popgym:{family}{level}", POLICIES[policy])
        assert earned.mean() == pytest.approx(value, abs=0.02)


@pytest.mark.parametrize("name", BOARDS)
def test_spaces_and_lengths_are_those_of_popgym(name):
    with warnings.catch_warnings():
        theirs = upstream(name)
    spec = make_env(f"popgym:{name}").spec
    assert spec.obs_space.n == theirs.observation_space.n
    np.testing.assert_array_equal(spec.action_space.nvec, theirs.action_space.nvec)
    assert spec.max_steps == theirs.max_episode_length
    assert spec.can_truncate


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
