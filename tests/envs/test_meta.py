"""Random projections: each part against the task that lies below, and gymnax's meta tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.envs import make_env
from rlseq.envs.meta.projection import action_map, mapped, rotation
from rlseq.envs.spaces import flatten
from rlseq.errors import InputError

E = 4


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("env_id", ["meta:CartPole", "meta:Pendulum", "meta:Projected"])
def test_a_step_is_the_tasks_step_seen_through_the_matrices(env_id, roll, compiled_quickly):
    venv = make_env(env_id, E, trial_steps=9)
    env, task, params = venv.env, venv.env.inner, venv.env.inner_params
    rollout = roll(venv, 40)
    before = jax.tree.map(lambda x: x[:-1], rollout.states)
    actions = rollout.actions[1:]

    def below(state, action, key):
        """The task's own step, with the actions and observations mixed by numpy's rules."""
        one = jax.random.split(key)[0]
        taken = mapped(env.task_actions, state.action_map, action)
        obs, _, reward, *_ = task.step_env(one, state.inner, taken, params)
        return flatten(env.seen_space, obs), reward

    keys = jax.vmap(lambda key: jax.random.split(jax.random.split(key)[0], E))(rollout.keys[1:])
    twin = compiled_quickly(jax.vmap(jax.vmap(below)), before, actions, keys)
    obs, reward = (np.asarray(x) for x in twin(before, actions, keys))
    np.testing.assert_allclose(rollout.steps.reward[1:], reward, rtol=1e-5)
    seen = rollout.steps.final_obs[1:]
    inside = seen[..., -1] == 0
    mixed = np.einsum("tei,teij->tej", obs, before.obs_matrix)
    np.testing.assert_allclose(seen[inside][:, :-2], mixed[inside], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen[..., -2], reward, rtol=1e-5)


def test_cartpole_is_the_papers(roll):
    """16 trials of at most 200 steps that pay 1 / 200 each; 4 mixed numbers, reward, end."""
    venv = make_env("meta:CartPole", E)
    assert venv.spec.max_steps == 3200 and venv.spec.obs_space.shape == (6,)
    rollout = roll(venv, 900)
    steps = rollout.steps
    ends = steps.final_obs[..., -1] == 1
    for e in range(E):
        last = np.flatnonzero(steps.terminated[:, e])
        assert len(last) > 0
        run = slice(0, last[0] + 1)
        assert ends[run, e].sum() == 16
        np.testing.assert_allclose(steps.reward[run, e].sum(), (last[0] + 1) / 200, rtol=1e-5)
    # An end of a trial is no reset: memory goes on.
    same(steps.reset, steps.terminated)
    assert (ends & ~steps.reset).sum() > 10 * E
    assert not steps.truncated.any()


def test_projections_last_an_episode_and_differ_between_episodes(roll):
    rollout = roll(make_env("meta:CartPole", E, num_trials=2), 200)
    matrix, reset = rollout.states.obs_matrix, rollout.steps.reset
    assert reset.sum() > 5
    change = (matrix[1:] != matrix[:-1]).any((2, 3))
    same(change, reset[1:])
    dealt = rollout.states.action_map
    assert {tuple(row) for row in dealt.reshape(-1, 2)} == {(0, 1), (1, 0)}
    np.testing.assert_allclose(
        matrix[0] @ matrix[0].swapaxes(1, 2), np.broadcast_to(2 * np.eye(2), (E, 2, 2)), atol=1e-5
    )


def test_a_set_of_projections_and_the_held_out_one(roll):
    def seen(**options):
        venv = make_env("meta:CartPole", 64, num_projections=5, **options)
        matrices = np.asarray(jax.jit(venv.reset)(jax.random.key(0))[0].obs_matrix)
        return {matrix.tobytes() for matrix in matrices}

    train, held_out = seen(), seen(held_out=True)
    assert len(train) == len(held_out) == 5 and not train & held_out
    many = jax.jit(make_env("meta:CartPole", 64).reset)(jax.random.key(0))[0].obs_matrix
    assert len({np.asarray(matrix).tobytes() for matrix in many}) == 64


def test_longer_horizons_and_shorter_trials(roll):
    assert make_env("meta:CartPole", num_trials=32).spec.max_steps == 6400
    rollout = roll(make_env("meta:Pendulum", E, num_trials=3, trial_steps=5), 46)
    same(np.flatnonzero(rollout.steps.reset[:, 0]), [14, 29, 44])
    same(np.flatnonzero(rollout.steps.final_obs[:, 0, -1]), np.arange(4, 46, 5))


@pytest.mark.parametrize("same_start", [True, False])
def test_trials_start_alike_only_if_asked(same_start, roll):
    options = {"same_start": same_start, "project_actions": False}
    venv = make_env("meta:CartPole", E, **options)
    rollout = roll(venv, 100)
    # Starts of trials 2, 3, ... of the first episode, and its first observation.
    fresh = (rollout.steps.obs[..., -1] == 1) & ~np.cumsum(rollout.steps.reset, 0).astype(bool)
    for e in range(E):
        starts = rollout.steps.obs[fresh[:, e], e, :4]
        first = np.broadcast_to(rollout.first.obs[e, :4], starts.shape)
        assert len(starts) > 1
        assert np.allclose(starts, first, atol=1e-6) == same_start


def test_maps_lose_nothing():
    for rows, columns in ((2, 4), (3, 3), (5, 2)):
        matrix = np.asarray(rotation(jax.random.key(rows), rows, columns), np.float64)
        short = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
        np.testing.assert_allclose(short, np.eye(len(short)), atol=1e-5)
    space = make_env("gymnax:Acrobot-v1").spec.action_space
    for seed in range(20):
        dealt = np.asarray(action_map(jax.random.key(seed), space, 7))
        assert sorted(np.bincount(dealt, minlength=3)) == [2, 2, 3]


def test_every_action_of_a_box_can_be_reached():
    space = make_env("gymnax:Pendulum-v1").spec.action_space
    matrix = action_map(jax.random.key(0), space, 2)
    for wanted in (-2.0, -0.5, 0.0, 1.5, 2.0):
        action = matrix[:, 0] * jnp.float32(wanted / 2)
        assert (abs(action) <= 1).all()
        np.testing.assert_allclose(mapped(space, matrix, action), [wanted], atol=1e-5)
    np.testing.assert_allclose(mapped(space, matrix, 3 * matrix[:, 0]), [2.0])


@pytest.mark.parametrize("name", ["BernoulliBandit", "GaussianBandit"])
def test_bandits_keep_their_arms_for_an_episode(name, roll):
    rollout = roll(make_env(f"meta:{name}", E), 120)
    arms = rollout.states.reward_probs if name == "BernoulliBandit" else rollout.states.mu
    change = (arms[1:] != arms[:-1]).reshape(119, E, -1).any(-1)
    assert not change[~rollout.steps.reset[1:]].any()
    same(np.flatnonzero(rollout.steps.truncated[:, 0]), [99])


def test_the_maze_keeps_its_goal_for_an_episode(roll):
    rollout = roll(make_env("meta:Maze", E, max_steps=50), 120)
    change = (rollout.states.goal[1:] != rollout.states.goal[:-1]).any(-1)
    assert change.any() and not change[~rollout.steps.reset[1:]].any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_trials": 0}, "got 0"),
        ({"trial_steps": 0}, "got"),
        ({"obs_size": 1}, "obs_size of at least 2"),
        ({"action_size": 1}, "action_size of at least 2"),
        ({"held_out": True}, "num_projections"),
        ({"task": "popgym:BattleshipEasy"}, "bounded Box and Discrete"),
        ({"task": "atari:Pong"}, "cannot be projected"),
        ({"task": "gymnax:CartPol-v1"}, "Did you mean"),
    ],
)
def test_impossible_options_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        make_env("meta:CartPole", **options)
