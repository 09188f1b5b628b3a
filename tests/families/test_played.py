"""Each family beside the package's own loop, step by step: same keys, same everything."""

import functools

import jax
import numpy as np
import pytest

from rlseq.envs import make_env
from rlseq.envs.jax_families.arcade import GAMES
from rlseq.laws import envs as laws
from tests.families import loops

E, T = 2, 30
LIMIT = 12  # of an episode
# id -> (options, the package's loop, how near the numbers are: physics in two programs)
CASES = {
    "craftax:Craftax-Classic-Symbolic-v1": ({}, loops.craftax, 1e-6),
    "craftax:Craftax-Symbolic-v1": ({}, loops.craftax, 1e-6),
    **{f"arcade:{game}Easy": ({}, loops.arcade, 0) for game in GAMES},
    "brax:hopper": ({}, loops.brax, 1e-3),
    "brax:ant": ({}, loops.brax, 1e-3),
    "xminigrid:MiniGrid-EmptyRandom-5x5": ({}, loops.xminigrid, 0),
    "xminigrid:MiniGrid-MemoryS16": ({}, loops.xminigrid, 0),
    "xminigrid:MiniGrid-DoorKey-5x5": ({}, loops.xminigrid, 0),
    "xminigrid:XLand-MiniGrid-R4-13x13": (
        {"num_trials": 2, "trial_steps": LIMIT // 2},
        loops.xland,
        0,
    ),
    "jumanji:Minesweeper-v0": ({}, loops.jumanji, 0),
    "jumanji:Maze-v0": ({}, loops.jumanji, 0),
    "jumanji:Knapsack-v1": ({}, loops.jumanji, 1e-6),
    "navix:Navix-Dynamic-Obstacles-5x5-v0": ({}, loops.navix, 0),
    "navix:Navix-DoorKey-Random-5x5-v0": ({}, loops.navix, 0),
    "navix:Navix-GoToDoor-5x5-v0": ({}, loops.navix, 0),
    "playground:PendulumSwingup": ({}, loops.playground, 1e-3),
    "playground:CartpoleSwingup": ({}, loops.playground, 1e-3),
    "pgx:minatar-breakout": ({}, loops.pgx, 0),
    "pgx:2048": ({}, loops.pgx, 0),
}
# Compiled for minutes.
SLOW = ("craftax:Craftax-Symbolic-v1", "brax:ant", "playground:CartpoleSwingup")
SLOW += tuple(f"arcade:{game}Easy" for game in GAMES if game not in ("AutoEncode", "Breakout"))
SLOW += "navix:Navix-DoorKey-Random-5x5-v0", "navix:Navix-GoToDoor-5x5-v0"


@functools.cache
def played(env_id):
    options = CASES[env_id][0] or {"max_steps": LIMIT}
    venv = make_env(env_id, E, **options)
    return venv, laws.roll(venv, T)


@pytest.fixture(params=[pytest.param(i, marks=pytest.mark.slow) if i in SLOW else i for i in CASES])
def env_id(request, needs):
    needs(request.param)
    return request.param


def test_the_packages_own_loop_agrees(env_id, loose_promotion):
    _, rollout = played(env_id)
    _, loop, near = CASES[env_id]
    reset, step = map(jax.jit, loop(env_id.partition(":")[2], LIMIT))
    agree = functools.partial(np.testing.assert_allclose, rtol=near, atol=near)

    def same(ours, theirs):
        agree(np.asarray(ours, np.float32), np.asarray(theirs, np.float32))

    reset_key, _ = jax.random.split(jax.random.key(0))  # as laws.roll does
    for row in range(E):
        obs, state = reset(data(reset_key, row))
        jax.tree.map(lambda a, b, row=row: same(a[row], b), rollout.first.obs, obs)
        for t in range(T):
            step_key, fresh_key = jax.random.split(rollout.keys[t])
            action = jax.tree.map(lambda x, t=t, row=row: x[t, row], rollout.actions)
            key = jax.random.key_data(jax.random.split(step_key, E)[row])
            obs, state, reward, ended, cut = step(key, state, action)
            steps = jax.tree.map(lambda x, t=t, row=row: x[t, row], rollout.steps)
            jax.tree.map(same, steps.final_obs, obs)
            same(steps.reward, reward)
            assert steps.reset == ended and steps.truncated == cut
            if ended:
                obs, state = reset(data(fresh_key, row))
            jax.tree.map(same, steps.obs, obs)


# id -> sides of a picture, drawn on the host or inside jit
DRAWN = {
    "craftax:Craftax-Classic-Symbolic-v1": (144, 144),
    "jumanji:Maze-v0": (400, 400),
    "jumanji:Minesweeper-v0": (400, 400),
    "navix:Navix-Dynamic-Obstacles-5x5-v0": (40, 40),
}


def kept(env_id):
    """(environment, what is drawn of its two copies before their first episodes are cut)."""
    venv, rollout = played(env_id)
    copies = jax.tree.map(lambda x: x[LIMIT - 2], rollout.states)
    return venv.env, jax.jit(jax.vmap(venv.env.to_draw))(copies)


@pytest.mark.parametrize("env_id", DRAWN)
def test_pictures_are_of_states(env_id, needs):
    needs(env_id)
    env, states = kept(env_id)
    one, other = env.pictures(jax.device_get(states))
    assert one.dtype == np.uint8 and one.shape == (*DRAWN[env_id], 3)
    assert one.std() > 5 and (one != other).any()


@pytest.mark.parametrize("env_id", ["brax:hopper", "playground:PendulumSwingup"])
def test_bodies_are_drawn_by_their_poses(env_id, needs):
    """By their numbers here; a picture needs OpenGL (test_pictures.py)."""
    needs(env_id)
    env, poses = kept(env_id)
    assert poses.joints.shape == (2, env.model.nq)
    assert poses.targets.shape == (2, env.model.nmocap, 3)
    assert (poses.joints[0] != poses.joints[1]).any()


def data(key, row):
    """The key of a copy's fresh episode, as users of these packages have keys."""
    return jax.random.key_data(jax.random.fold_in(key, row))


def test_the_laws_hold(env_id):
    venv, rollout = played(env_id)
    laws.reset_follows_each_end(venv, rollout)
    laws.episodes_end_within_the_limit(venv, rollout)
    laws.final_obs_is_obs_where_nothing_ended(venv, rollout)
    laws.shapes_and_dtypes_of_the_spaces(venv, rollout)
    laws.numbers_are_finite(venv, rollout)
    laws.observations_lie_in_the_space(venv, rollout)
    laws.rewards_lie_in_their_range(venv, rollout)


def test_craftax_tells_a_death_from_its_limit(needs):
    needs("craftax")
    venv, rollout = played("craftax:Craftax-Classic-Symbolic-v1")
    inner = jax.tree.map(lambda x: x[0, 0], rollout.states.inner)
    package, settings = venv.env.package, venv.env.settings
    assert package.is_terminal(inner.replace(player_health=0), settings)
    late = inner.replace(timestep=10_000)
    assert not package.is_terminal(late, settings)
    assert package.is_terminal(late, package.default_params)
    assert make_env("craftax:Craftax-Classic-Symbolic-v1").spec.max_steps == 10_000
