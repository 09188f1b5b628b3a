"""Mazes of both labyrinths against mazelib's, and the returns of random walks."""

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlseq.envs import make_env
from rlseq.envs.popgym import FAMILY
from rlseq.envs.popgym.maze import START, drawn_pool, picked
from rlseq.errors import InputError

pytest.importorskip("mazelib")  # popgym has its labyrinths only beside it
from mazelib.generate.HuntAndKill import HuntAndKill

from .against_popgym import upstream

LEVELS = ("Easy", "Medium", "Hard")
LABYRINTHS = [f"Labyrinth{task}{level}" for task in ("Escape", "Explore") for level in LEVELS]


@pytest.mark.parametrize("name", LABYRINTHS)
def test_mazes_are_as_large_as_popgyms(name):
    theirs = upstream(name)
    theirs.reset(seed=0)
    assert len(drawn_pool(FAMILY.make(name)[0].maze_dims // 2, 1)[0]) == len(theirs.maze.grid)


def packed(grid):
    return (grid.astype(np.uint32) << np.arange(len(grid), dtype=np.uint32)).sum(1)


def test_mazes_have_the_law_of_mazelibs():
    """Every maze of 3 x 3 cells as often as there; few enough to be counted one by one."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 -- mazelib draws from it
    theirs = np.array([packed(HuntAndKill(3, 3).generate()) for _ in range(3000)])
    pool = drawn_pool(3, 30_000, seed=1)
    _, which = np.unique(np.concatenate([theirs, pool]), axis=0, return_inverse=True)
    counts = np.stack(
        [
            np.bincount(which[:3000], minlength=which.max() + 1),
            np.bincount(which[3000:], minlength=which.max() + 1),
        ]
    )
    common = counts.sum(0) >= 60
    assert counts[:, common].sum() > 0.9 * counts.sum()
    assert stats.chi2_contingency(counts[:, common]).pvalue > 1e-3


def test_the_eight_forms_are_as_likely_as_one_another():
    """What makes it right to turn a maze: forms of one shape are drawn equally often."""
    pool = drawn_pool(3, 30_000, seed=2)
    grids = pool[:, :, None] >> np.arange(7, dtype=np.uint32) & 1
    turned = np.array([packed(g) for g in np.rot90(grids, axes=(1, 2)).astype(np.uint32)])
    _, which = np.unique(
        np.concatenate([pool[:15_000], turned[15_000:]]), axis=0, return_inverse=True
    )
    counts = np.stack(
        [np.bincount(part, minlength=which.max() + 1) for part in (which[:15_000], which[15_000:])]
    )
    common = counts.sum(0) >= 60
    assert stats.chi2_contingency(counts[:, common]).pvalue > 1e-3


def test_a_pick_is_a_form_of_a_maze_of_the_pool():
    pool = drawn_pool(5, 3)
    grids = pool[:, :, None] >> np.arange(11, dtype=np.uint32) & 1
    forms = {
        np.rot90(g, k).tobytes() for m in grids.astype(np.int8) for g in (m, m.T) for k in range(4)
    }
    keys = jax.random.split(jax.random.key(0), 400)
    picks = np.asarray(jax.vmap(picked, in_axes=(0, None))(keys, jnp.asarray(pool)))
    assert {p.tobytes() for p in picks} == forms


def test_entrances_lie_on_opposite_walls_beside_uniform_cells():
    venv = make_env("popgym:LabyrinthEscapeEasy", 4000, num_mazes=16)
    state, _ = jax.jit(venv.reset)(jax.random.key(3))
    grid, start = np.asarray(state.grid), np.asarray(state.position)
    goal = np.argwhere(grid == 3)[:, 1:]
    assert (grid[np.arange(4000), *start.T] == START).all()
    on_wall = np.isin(start, (0, 10))
    assert (on_wall.sum(1) == 1).all() and (start[on_wall] + goal[on_wall] == 10).all()
    codes = 25 * (2 * on_wall[:, 0] + start[on_wall] // 10)
    codes = codes + 5 * (start[~on_wall] // 2) + goal[~on_wall] // 2
    counts = np.bincount(codes, minlength=100)
    assert len(counts) == 100 and stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    ("task", "level", "expected"),
    [
        ("Escape", "Easy", -0.41),
        ("Escape", "Medium", -0.835),
        pytest.param("Escape", "Hard", -0.955, marks=pytest.mark.slow),
        ("Explore", "Easy", -0.34),
        pytest.param("Explore", "Medium", -0.61, marks=pytest.mark.slow),
        pytest.param("Explore", "Hard", -0.74, marks=pytest.mark.slow),
    ],
)
def test_random_walks_earn_what_they_earn_in_popgym(roll, task, level, expected):
    venv = make_env(f"popgym:Labyrinth{task}{level}", 400)
    steps = roll(venv, 1023).steps
    first = np.cumsum(steps.reset, axis=0) - steps.reset == 0
    earned = (steps.reward * first).sum(0, dtype=np.float64)
    assert earned.mean() == pytest.approx(expected, abs=0.06)


def test_a_pool_is_another_with_another_seed_and_full_of_different_mazes():
    pool = drawn_pool(9, 500)
    assert len(np.unique(pool, axis=0)) == 500
    assert (drawn_pool(9, 500, seed=1) != pool).any()


@pytest.mark.parametrize(
    "options",
    [{"maze_dims": 9}, {"maze_dims": 4}, {"maze_dims": 32}, {"num_mazes": 0}, {"max_steps": 0}],
)
def test_impossible_mazes_are_refused(options):
    with pytest.raises(InputError, match="got"):
        make_env("popgym:LabyrinthEscapeEasy", **options)
