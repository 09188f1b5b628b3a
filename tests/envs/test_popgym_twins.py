"""Fully observed twins: what they show is popgym's own hidden state, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import popgym.envs
import pytest

from rlseq.envs import make_env
from rlseq.envs.popgym import FAMILY
from rlseq.envs.popgym.cartpole import CartPoleState
from rlseq.envs.popgym.position_only_pendulum import PendulumState
from rlseq.envs.spaces import flat_size
from rlseq.envs.twin import Twin
from rlseq.errors import InputError

from .against_popgym import environment, episodes_of, family_of, replay, upstream
from .popgym_games import GAMES

HERE = [name for name in FAMILY.ids() if hasattr(popgym.envs, name)]
# Difficulties of a game differ in size alone.
PLAYED = [n for n in HERE if family_of(n) in GAMES]
SIZES = [n if n.endswith("Easy") else pytest.param(n, marks=pytest.mark.slow) for n in PLAYED]
EASY = [name for name in HERE if name.endswith("Easy")]
SPOT_CHECKS = (
    "Autoencode",
    "HigherLower",
    "Concentration",
    "NoisyPositionOnlyP",
    "LabyrinthEscape",
)
TWINS = [n if n.startswith(SPOT_CHECKS) else pytest.param(n, marks=pytest.mark.slow) for n in EASY]


@pytest.mark.parametrize("name", SIZES)
def test_a_games_twin_shows_what_popgym_calls_its_state(name):
    episodes, keys = episodes_of(name, 4)
    first, (states, *_) = replay(Twin(environment(name), both=False), episodes, keys)
    for i, theirs in enumerate(episodes):
        np.testing.assert_allclose(first[i], theirs.hidden[0], atol=1e-6)
        np.testing.assert_allclose(states[i, : len(theirs.obs)], theirs.hidden[1:], atol=1e-6)


@pytest.mark.parametrize("name", [name for name in HERE if family_of(name) not in GAMES])
def test_a_control_tasks_twin_shows_what_popgym_calls_its_state(name):
    env, theirs = FAMILY.make(name)[0], upstream(name)
    theirs.reset(seed=2)
    theirs.action_space.seed(2)
    state_type = CartPoleState if "CartPole" in name else PendulumState
    for _ in range(8):
        state = state_type(jnp.int32(0), *jnp.asarray(theirs.state, jnp.float32))
        np.testing.assert_allclose(env.reveal(state), theirs.get_state(), atol=1e-6)
        theirs.step(theirs.action_space.sample())


def entries(space):
    """The choices of each discrete entry, whatever the shape."""
    match type(space).__name__:
        case "Discrete":
            return [space.n]
        case "MultiBinary":
            return [2] * space.n
    return list(np.ravel(space.nvec))


@pytest.mark.parametrize("name", HERE)
def test_state_spaces_are_those_of_popgym(name):
    env, theirs = environment(name), upstream(name).state_space
    ours = env.state_space(env.default_params)
    pairs = zip(getattr(ours, "spaces", [ours]), getattr(theirs, "spaces", [theirs]), strict=True)
    for one, other in pairs:
        if type(other).__name__ == "Box":
            np.testing.assert_allclose(one.low, other.low)
            np.testing.assert_allclose(one.high, other.high)
            assert one.shape == other.shape
        else:
            assert entries(one) == entries(other)


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_lives_through_the_same_episodes(name, roll):
    options = {"num_mazes": 1} if "Labyrinth" in name else {}
    plain, state, both = (
        roll(make_env(f"popgym:{name}", 2, observe=observe, **options), 30)
        for observe in ("obs", "state", "both")
    )
    for other in (state, both):
        jax.tree.map(np.testing.assert_array_equal, other.steps[1:5], plain.steps[1:5])
    jax.tree.map(np.testing.assert_array_equal, both.steps.obs["obs"], plain.steps.obs)
    jax.tree.map(np.testing.assert_array_equal, both.steps.obs["state"], state.steps.obs)
    space = make_env(f"popgym:{name}", observe="state", **options).spec.obs_space
    parts = getattr(space, "spaces", [space])
    for x, space in zip(jax.tree.leaves(state.steps.final_obs), parts, strict=True):
        assert x.dtype == space.dtype and x.shape[2:] == tuple(space.shape)
        assert jax.vmap(jax.vmap(space.contains))(x).all()


def test_a_twin_can_be_flattened():
    venv = make_env("popgym:HigherLowerEasy", 3, observe="both", previous_action=True, flatten=True)
    _, ts = venv.reset(jax.random.key(0))
    assert ts.obs.shape == (3, 13 + 13 + 2) == (3, flat_size(venv.spec.obs_space))
    rank, parts = np.split(np.asarray(ts.obs), [13, 26], axis=1)[:2]
    np.testing.assert_allclose(parts, rank / 4)


def test_bad_values_of_observe_are_named():
    with pytest.raises(InputError, match="Did you mean 'state'"):
        make_env("popgym:AutoencodeEasy", observe="stat")
    for env_id in ("atari:Pong", "gymnax:CartPole-v1", "probe:Leak"):
        with pytest.raises(InputError, match="no state to show"):
            make_env(env_id, observe="state")
