"""Sticky actions, frame skip and checked actions, against numpy twins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

from rlseq.envs import make_env
from rlseq.envs.action_wrappers import FrameSkip
from rlseq.envs.base import Env
from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError

T, E = 80, 4


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def taken(rollout):
    return np.asarray(rollout.states.action)


def begins(rollout):
    """bool [T, E]: the first step of an episode."""
    return np.concatenate([np.ones((1, E), bool), rollout.steps.reset[:-1]])


def test_an_action_sticks_with_its_probability_but_not_across_a_reset(roll):
    venv = make_env("gymnax:CartPole-v1", E, sticky_actions=0.25, max_steps_in_episode=12)
    length = 600
    rollout = roll(venv, length)
    # After a restart the state holds no action; what was taken shows only where none ended.
    going = ~rollout.steps.reset
    given, executed = np.asarray(rollout.actions), taken(rollout)
    first = begins(rollout)
    same(executed[going & first], given[going & first])
    before = np.concatenate([executed[:1], executed[:-1]])
    kept = going & ~first
    own = executed == given
    assert (own | (executed == before))[kept].all()
    told_otherwise = kept & (given != before)
    share = 1 - own[told_otherwise].mean()
    error = np.sqrt(0.25 * 0.75 / told_otherwise.sum())
    assert abs(share - 0.25) < 4.5 * error
    assert not rollout.states.started[rollout.steps.reset].any()


@pytest.mark.parametrize("env_id", ["probe:Continuous", "probe:MultiAction"])
def test_sticky_actions_of_any_kind(env_id, roll):
    """Episodes of one step: every action is a first one, so each is the agent's own."""
    plain, sticky = (roll(make_env(env_id, E, **s), 20) for s in ({}, {"sticky_actions": 0.9}))
    assert plain.steps.reward.shape == sticky.steps.reward.shape
    assert sticky.states.action.dtype == plain.actions.dtype


def test_always_sticky_repeats_the_first_action(roll):
    rollout = roll(make_env("gymnax:CartPole-v1", E, sticky_actions=1.0), 7)
    assert not rollout.steps.reset.any() and (rollout.actions != rollout.actions[0]).any()
    same(taken(rollout), np.broadcast_to(rollout.actions[0], (7, E)))


def test_frame_skip_sums_rewards_and_stops_at_the_end(roll):
    """CartPole pays 1 a step: an episode of L steps pays L, in ceil(L / 3) of them."""
    venv = make_env("gymnax:CartPole-v1", E, frame_skip=3, max_steps_in_episode=20)
    assert venv.spec.max_steps == 7
    rollout = roll(venv, T)
    steps = rollout.steps
    assert set(np.unique(steps.reward)) <= {1.0, 2.0, 3.0}
    assert (steps.reward[~steps.reset] == 3).all()
    assert (steps.reward[steps.truncated] == 2).all()  # 20 = 6 x 3 + 2
    assert steps.terminated.any() and (steps.truncated & ~steps.terminated).any()
    same(steps.obs[~steps.reset], steps.final_obs[~steps.reset])


@pytest.mark.parametrize("skip", [1, 2, 5])
def test_frame_skip_equals_single_steps_with_the_same_action(skip):
    """From one state with the keys of the wrapper: the same observation, reward and ends."""
    env = make_env("popgym:MineSweeperEasy").env
    wrapped = FrameSkip(env, skip)
    params = env.default_params
    single = jax.jit(env.step_env)

    @jax.jit
    def begin(seed):
        key, act_key = jax.random.split(jax.random.key(seed))
        _, state = env.reset_env(key, params)
        action = env.action_space(params).sample(act_key)
        keys = jax.random.split(key, skip)
        return state, action, keys, wrapped.step_env(key, state, action, params)

    for seed in range(10):
        state, action, keys, (obs, after, reward, terminated, _) = begin(seed)
        total, twin = 0.0, None
        for one in keys:
            twin = single(one, state, action, params)
            state, total = twin[1], total + twin[2]
            if twin[3]:
                break
        assert twin is not None
        same((obs, after, terminated), (twin[0], twin[1], twin[3]))
        np.testing.assert_allclose(reward, total, rtol=1e-6)


def test_both_together_and_the_twin(roll):
    venv = make_env("popgym:PositionOnlyCartPoleEasy", E, sticky_actions=0.5, frame_skip=2)
    assert isinstance(venv.env, Env) and venv.spec.max_steps == 100
    state = make_env(
        "popgym:PositionOnlyCartPoleEasy", E, sticky_actions=0.5, frame_skip=2, observe="state"
    )
    seen, hidden = roll(venv, T).steps.obs, roll(state, T).steps.obs
    np.testing.assert_allclose(seen, hidden[..., [0, 2]], rtol=1e-5, atol=1e-6)


def outside(space):
    """An element of a space with one entry too large or too small."""
    if isinstance(space, MultiDiscrete):
        return [np.asarray(space.nvec), np.full(space.shape, -1)]
    if hasattr(space, "n"):
        return [space.n, -1]
    return [np.full(space.shape, space.high) + 1, np.full(space.shape, np.nan)]


@pytest.mark.parametrize(
    "env_id",
    [
        "popgym:RepeatPreviousEasy",
        "popgym:CountRecallHard",
        "popgym:BattleshipEasy",
        "popgym:PositionOnlyPendulumEasy",
        "popgym:LabyrinthEscapeEasy",
        "memory:TMaze",
        "gymnax:CartPole-v1",
        "probe:MultiAction",
    ],
)
def test_debug_finds_actions_outside_their_space(env_id):
    venv = make_env(env_id, 2, debug=True, previous_action=True)
    space = venv.spec.action_space

    @jax.jit
    def begin(key):
        state, _ = venv.reset(key)
        right = jax.vmap(space.sample)(jax.random.split(jax.random.key(1), 2))
        return state, right

    state, right = begin(jax.random.key(0))
    step = jax.jit(checkify.checkify(venv.step))
    error, (_, ts) = step(state, right, jax.random.key(2))
    error.throw()
    plain = make_env(env_id, 2, previous_action=True)
    same(ts, jax.jit(plain.step)(state, right, jax.random.key(2))[1])
    for wrong in outside(space):
        action = np.array(right)
        action[1] = wrong
        error, _ = step(state, jnp.asarray(action), jax.random.key(2))
        with pytest.raises(checkify.JaxRuntimeError, match=f"{env_id} lies outside"):
            error.throw()


def test_debug_works_inside_a_scan_and_refuses_wrong_shapes():
    venv = make_env("probe:Recall", 3, debug=True)
    state, _ = venv.reset(jax.random.key(0))

    def run(state, actions):
        keys = jax.random.split(jax.random.key(0), len(actions))
        return jax.lax.scan(lambda s, x: venv.step(s, *x), state, (actions, keys))[1].reward

    checked = jax.jit(checkify.checkify(run))
    actions = jnp.zeros((5, 3), jnp.int32)
    checked(state, actions)[0].throw()
    with pytest.raises(checkify.JaxRuntimeError, match="probe:Recall"):
        checked(state, actions.at[3, 1].set(2))[0].throw()
    with pytest.raises(InputError, match=r"\(3,\), got \(3, 1\)"):
        venv.step(state, jnp.zeros((3, 1), jnp.int32), jax.random.key(0))


@pytest.mark.parametrize(
    ("env_id", "switch"),
    [
        ("probe:Leak", {"sticky_actions": 1.1}),
        ("probe:Leak", {"sticky_actions": -0.1}),
        ("probe:Leak", {"frame_skip": 0}),
        ("atari:Pong", {"frame_skip": 2}),
        ("atari:Pong", {"sticky_actions": 0.25}),
    ],
)
def test_impossible_values_are_refused_when_built(env_id, switch):
    with pytest.raises(InputError, match=r"sticky|frame"):
        make_env(env_id, **switch)
