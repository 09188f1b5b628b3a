"""CartPoles and Pendulums against the popgym package, from each state of its episodes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.envs.popgym import FAMILY
from rlseq.envs.popgym.cartpole import CartPoleState
from rlseq.envs.popgym.position_only_pendulum import PendulumState

from .against_popgym import Scripted, upstream

CARTPOLES = [name for name in FAMILY.ids() if "CartPole" in name]
PENDULUMS = [name for name in FAMILY.ids() if "Pendulum" in name]
LONG = 20_000  # no run of transitions has more steps


@functools.cache
def noise():
    """Keys of ours [LONG], and the unit noise [LONG, 2] that a step draws with each."""
    keys = jax.random.split(jax.random.key(3), LONG)
    draw = jax.vmap(lambda key: jax.random.normal(jax.random.split(key)[1], (2,), jnp.float32))
    return keys, np.asarray(draw(keys))


def balance(env, rng, episode):
    """Every fourth episode stands for long; the others fall soon."""
    _, x_dot, theta, theta_dot = env.state
    if episode % 4 or rng.random() < 0.05:
        return int(rng.integers(2))
    return int(theta + 0.4 * theta_dot + 0.05 * x_dot > 0)


def swing(env, rng, episode):
    """Torques beyond their bounds too; every other episode pumps the rod up to high speed."""
    return np.float32([rng.uniform(-3, 3) if episode % 2 else 2 * np.sign(env.state[1])])


def transitions(name, act, num_episodes):
    """Columns of upstream steps; step i draws noise i."""
    env, rng, rows = upstream(name), np.random.default_rng(7), []
    for episode in range(num_episodes):
        env.reset(seed=episode)
        env.np_random, ended = Scripted(noise()[1][len(rows) :]), False
        while not ended:
            before, action = (env.num_steps, *env.state), act(env, rng, episode)
            obs, reward, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
            rows.append((before, action, obs, reward, terminated, truncated, (*env.state,)))
    return [np.array(column, np.float64) for column in zip(*rows, strict=True)]


def stepped(name, state_type, before, action):
    """What ours makes of the same states and actions, with the keys of that noise."""
    env, params = FAMILY.make(name)
    time, *hidden = before.T
    state = state_type(jnp.asarray(time, jnp.int32), *jnp.asarray(hidden, jnp.float32))
    step = jax.jit(jax.vmap(env.step_env, in_axes=(0, 0, 0, None)))
    obs, state, reward, terminated, _ = step(noise()[0][: len(time)], state, action, params)
    truncated = jax.vmap(env.is_truncated, in_axes=(0, None))(state, params)
    return obs, np.stack(state[1:], 1), reward, terminated, truncated


def compare_cartpole(name, num_episodes):
    before, action, *theirs, after = transitions(name, balance, num_episodes)
    ours = stepped(name, CartPoleState, before, jnp.asarray(action, jnp.int32))
    obs, state, reward, terminated, truncated = ours
    np.testing.assert_allclose(obs, theirs[0], atol=2e-6, rtol=1e-6)
    np.testing.assert_allclose(state, after, atol=2e-6, rtol=1e-6)
    np.testing.assert_allclose(reward, theirs[1], rtol=1e-6)
    np.testing.assert_array_equal(truncated, theirs[3])
    # Where a threshold is met to within float32, the two may differ: leave those rows out.
    margin = np.abs(np.abs(after[:, [0, 2]]) - [2.4, 12 * 2 * np.pi / 360]).min(1)
    clear = margin > 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(terminated[clear], theirs[2][clear])
    assert theirs[2].sum() > num_episodes / 3 and theirs[3].sum() > num_episodes / 12


def compare_pendulum(name, num_episodes):
    before, action, *theirs, after = transitions(name, swing, num_episodes)
    assert (np.abs(before[:, 2]) > 7.9).any() and (np.abs(action) > 2).any()
    ours = stepped(name, PendulumState, before, jnp.asarray(action, jnp.float32))
    obs, state, reward, terminated, truncated = ours
    np.testing.assert_allclose(obs, theirs[0], atol=1e-5)
    np.testing.assert_allclose(state, after, atol=1e-5, rtol=1e-6)
    np.testing.assert_allclose(reward * 100, theirs[1] * 100, atol=1e-5)
    np.testing.assert_array_equal(truncated, theirs[3])
    assert not terminated.any() and not theirs[2].any()


@pytest.mark.parametrize("name", CARTPOLES)
def test_cartpole_equals_popgym_from_each_of_its_states(name):
    compare_cartpole(name, 40)


@pytest.mark.parametrize("name", PENDULUMS)
def test_pendulum_equals_popgym_from_each_of_its_states(name):
    compare_pendulum(name, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", CARTPOLES)
def test_cartpole_equals_popgym_over_hundreds_of_episodes(name):
    compare_cartpole(name, 90 if name.endswith(("Medium", "Hard")) else 250)


@pytest.mark.slow
@pytest.mark.parametrize("name", PENDULUMS)
def test_pendulum_equals_popgym_over_many_episodes(name):
    compare_pendulum(name, 100)


@pytest.mark.parametrize("name", [n for n in FAMILY.ids() if n.startswith("Noisy")])
def test_first_observations_are_noisy_too_and_clipped(name):
    """As upstream, where the same noise meets the same start."""
    theirs, (env, params) = upstream(name), FAMILY.make(name)
    theirs.reset(seed=1)
    state_type = CartPoleState if "CartPole" in name else PendulumState
    for key in jax.random.split(jax.random.key(5), 20):
        unit = np.asarray(jax.random.normal(key, (2,), jnp.float32))
        theirs.np_random = Scripted([unit])
        clean = theirs.state[[0, 2]] if "CartPole" in name else theirs._get_obs()[:2]
        state = state_type(jnp.int32(0), *jnp.asarray(theirs.state, jnp.float32))
        obs = env.observe(key, state, None, params)
        np.testing.assert_allclose(obs, theirs.add_noise_to_obs(clean), atol=1e-6)
        assert (np.abs(obs) <= theirs.observation_space.high).all()


def test_velocities_are_seen_from_the_first_observation_on():
    """popgym shows the positions there, against its own description."""
    env, params = FAMILY.make("VelocityOnlyCartPoleEasy")
    obs, state = env.reset_env(jax.random.key(0), params)
    np.testing.assert_array_equal(obs, [state.x_dot, state.theta_dot])
    theirs = upstream("VelocityOnlyCartPoleEasy")
    first, _ = theirs.reset(seed=0)
    np.testing.assert_array_equal(first, np.float32([theirs.state[0], theirs.state[2]]))


def test_noise_may_be_left_unclipped():
    env, params = FAMILY.make("NoisyPositionOnlyPendulumHard", clip_noise=False)
    state = PendulumState(jnp.int32(0), jnp.float32(0), jnp.float32(0))
    keys = jax.random.split(jax.random.key(0), 4000)
    obs = jax.vmap(env.observe, in_axes=(0, None, None, None))(keys, state, None, params)
    np.testing.assert_allclose(np.mean(obs, 0), [1, 0], atol=0.02)
    np.testing.assert_allclose(np.std(obs, 0), 0.3, atol=0.02)
    assert obs.max() > 1.5 and np.isinf(env.observation_space(params).high)
