"""Laws of every registered environment, batched: a new id is tested once it can be listed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.envs import make_env
from rlseq.laws import envs as laws
from tests.own_envs import own_ids

E = 3
SHORT = 12  # limits of others' environments are cut to this, so that truncation is seen
LIMITS = {
    "gymnax": {"max_steps_in_episode": SHORT},
    "minatar": {"max_steps": SHORT},
    "meta": {"num_trials": 2, "trial_steps": SHORT},
}


def build(env_id):
    env_id, *switch = env_id.split()
    limit = {} if env_id in WHOLE else LIMITS.get(env_id.split(":")[0], {})
    return make_env(env_id, E, **limit, **WRAPPED.get(" ".join(switch), {}))


# Meta-episodes of gymnax's own.
WHOLE = ("meta:BernoulliBandit", "meta:GaussianBandit", "meta:Maze")
# Wrappers that change what is seen or done, over environments of every kind of space.
WRAPPED = {
    "masked": {"obs_mask": (0,)},
    "noisy": {"obs_noise": 0.3},
    "flickering": {"obs_flicker": 0.5},
    "late": {"obs_delay": 2},
    "sticky": {"sticky_actions": 0.3},
    "skipping": {"frame_skip": 3},
    "all": {"obs_noise": 0.1, "obs_flicker": 0.5, "obs_delay": 3, "sticky_actions": 0.2}
    | {"frame_skip": 2, "previous_action": True, "start_flag": True, "flatten": True},
}
OVER = ["gymnax:CartPole-v1 masked", "popgym:CountRecallEasy masked", "gymnax:CartPole-v1 noisy"]
OVER += ["popgym:AutoencodeEasy flickering", "gymnax:Catch-bsuite flickering"]
OVER += ["popgym:AutoencodeEasy late", "probe:Leak late", "probe:MultiAction sticky"]
OVER += ["gymnax:CartPole-v1 sticky", "popgym:MineSweeperEasy skipping"]
OVER += ["popgym:PositionOnlyPendulumEasy skipping", "popgym:PositionOnlyCartPoleEasy all"]


# What lives outside JAX has laws of its own: test_atari.py and test_gymnasium.py.
LAWFUL = [i for i in own_ids() if not i.startswith(("atari:", "gymnasium:"))]
# One id of each program of ours, and gymnax ids that end by either kind of end.
OTHERS = ("gymnax", "minatar", "meta")
DISTINCT = [
    i for i in LAWFUL if not i.endswith(("Medium", "Hard")) and i.split(":")[0] not in OTHERS
]
DISTINCT += ["gymnax:CartPole-v1", "gymnax:MemoryChain-bsuite", "gymnax:FrozenLake-misc"]
DISTINCT += ["minatar:BreakoutFlickering", "minatar:FreewayMasked", "minatar:SpaceInvaders"]
DISTINCT += ["meta:CartPole", "meta:Pendulum", "meta:Projected", "meta:BernoulliBandit"]
DISTINCT += ["gymnax:FourRooms-misc", "gymnax:BernoulliBandit-misc", "gymnax:Catch-bsuite"]
# The rest compile for minutes and differ in size, or in code that is gymnax's own.
EVERY = [i if i in DISTINCT else pytest.param(i, marks=pytest.mark.slow) for i in LAWFUL]


@pytest.fixture(params=[*EVERY, *OVER])
def case(request, roll):
    return _case(request.param, roll)


@functools.cache
def _case(env_id, roll):
    venv = build(env_id)
    return venv, roll(venv, min(venv.spec.max_steps, 1000) + 30)


def plain_step(venv, state, action, key):
    """What JaxVecEnv.step means, said plainly: every copy is stepped, reset and chosen from."""
    env, params = venv.env, venv.params
    step_key, reset_key = jax.random.split(key)

    def one(state, action, step_key, reset_key):
        obs, state, reward, terminated, _ = env.step_env(step_key, state, action, params)
        truncated = jnp.logical_not(terminated) & env.is_truncated(state, params)
        fresh = env.reset_env(reset_key, params)
        ended = terminated | truncated
        shown = jax.tree.map(lambda a, b: jnp.where(ended, a, b), fresh, (obs, state))
        return shown, reward, terminated, truncated, obs

    reset_keys = jax.vmap(jax.random.fold_in, (None, 0))(reset_key, jnp.arange(E))
    keys = jax.random.split(step_key, E), reset_keys
    return jax.vmap(one)(state, action, *keys)


# All are reset by one piece of code. Usually each family, each form of an observation, ends of
# either kind and both ways to make fresh states: all at once, or some after others.
LAZY = ["memory:TMaze", "popgym:AutoencodeEasy", "popgym:CountRecallEasy"]
LAZY += ["popgym:MineSweeperEasy", "popgym:NoisyPositionOnlyCartPoleEasy", "probe:Leak"]
LAZY += ["probe:Truncated", "gymnax:CartPole-v1", "gymnax:FrozenLake-misc"]
LAZY += ["minatar:BreakoutFlickering", "meta:CartPole", "meta:BernoulliBandit"]
# A curriculum is a batched environment around such a one.
STEPPED = [
    i if i in LAZY else pytest.param(i, marks=pytest.mark.slow)
    for i in DISTINCT
    if "Curriculum" not in i
]


@pytest.mark.parametrize("env_id", STEPPED)
def test_lazy_resets_change_nothing(env_id, roll, compiled_quickly):
    """The branch around resets is only a saving; also: final_obs is the true successor."""
    venv, rollout = _case(env_id, roll)
    before = jax.tree.map(lambda x: x[:-1], rollout.states)
    after = jax.tree.map(lambda x: x[1:], (rollout.actions, rollout.steps, rollout.states))
    actions, steps, states = after

    def check(_, x):
        return None, plain_step(venv, *x)

    xs = (before, actions, rollout.keys[1:])
    twin = compiled_quickly(lambda xs: jax.lax.scan(check, None, xs)[1], xs)
    (obs, state), reward, terminated, truncated, final_obs = twin(xs)
    got = (steps.obs, states, steps.terminated, steps.truncated, steps.final_obs, steps.reward)
    expected = (obs, state, terminated, truncated, final_obs, reward)
    jax.tree.map(same_up_to_fusion if has_physics(venv) else same_bits, got, expected)


def has_physics(venv):
    return any(part in venv.spec.id for part in ("gymnax:", "meta:", "CartPole", "Pendulum"))


same_bits = np.testing.assert_array_equal
# Two programs, or two results of one, may fuse floating-point arithmetic differently; one step of
# it, from equal states.
same_up_to_fusion = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


def test_reset_follows_each_end_and_ends_are_of_one_kind(case):
    laws.reset_follows_each_end(*case)


def test_no_episode_is_longer_than_the_spec_says(case):
    laws.episodes_end_within_the_limit(*case)


def test_final_obs_is_obs_where_nothing_ended(case):
    same = same_up_to_fusion if has_physics(case[0]) else same_bits
    laws.final_obs_is_obs_where_nothing_ended(*case, same)


def test_shapes_and_dtypes_are_those_of_the_spaces(case):
    laws.shapes_and_dtypes_of_the_spaces(*case)


def test_numbers_are_finite(case):
    laws.numbers_are_finite(*case)


@pytest.mark.parametrize("env_id", [i for i in DISTINCT + OVER if not i.startswith("gymnax:")])
def test_observations_lie_in_the_space(env_id, roll):
    laws.observations_lie_in_the_space(*_case(env_id, roll))


@pytest.mark.parametrize("env_id", ["popgym:CountRecallEasy", "probe:Leak", "gymnax:CartPole-v1"])
def test_jit_changes_nothing_and_a_key_decides_everything(env_id, roll):
    venv, rollout = _case(env_id, roll)
    before, action = jax.tree.map(lambda x: x[0], (rollout.states, rollout.actions))
    state, ts = venv.step(before, action, rollout.keys[3])
    for again in (jax.jit(venv.step), jax.jit(venv.step)):
        jax.tree.map(
            same_up_to_fusion,
            again(before, action, rollout.keys[3]),
            (state, ts),
        )


@pytest.mark.parametrize("env_id", DISTINCT)
def test_rewards_lie_in_their_range(env_id, roll):
    laws.rewards_lie_in_their_range(*_case(env_id, roll))


def test_copies_differ_and_seeds_differ(roll):
    venv = make_env("popgym:RepeatFirstEasy", 8)
    one, two, same = (roll(venv, 20, seed) for seed in (0, 1, 0))
    obs = one.steps.obs
    assert (obs[:, 0] != obs[:, 1]).any()
    assert (obs != two.steps.obs).any()
    np.testing.assert_array_equal(obs, same.steps.obs)


def test_seeds_can_be_vmapped():
    laws.seeds_by_vmap_equal_single_ones(make_env("probe:Leak", 2))
