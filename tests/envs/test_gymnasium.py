"""gymnasium's environments inside jit against stepping gymnasium by hand."""

import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as theirs

from rlseq.envs import make_env
from rlseq.envs.gymnasium_family import IDS
from rlseq.envs.gymnasium_spaces import received
from rlseq.errors import HostEnvError, InputError

E, T = 3, 60


class Odd(gymnasium.Env):
    """Everything that has to be converted: parts, 64 bits, choices that do not begin at 0."""

    observation_space = theirs.Dict(
        {
            "level": theirs.Discrete(5, start=2),
            "at": theirs.Box(-1e3, 1e3, (2,), np.float64),
            "bits": theirs.MultiBinary(3),
        }
    )
    action_space = theirs.MultiDiscrete([2, 3], start=[0, 1])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.normal(size=2)
        return self._seen(), {}

    def step(self, action):
        assert action in self.action_space
        if self.at[0] > 3e2:
            raise ArithmeticError("the odd one fell over")
        self.at = self.at + self.np_random.normal(size=2) + action
        return self._seen(), float(action.sum()), self.at[0] > 8, self.at[1] > 30, {}

    def _seen(self):
        level = int(np.clip(self.at[0], 2, 6))
        return {
            "level": level,
            "at": self.at.copy(),
            "bits": np.signbit([*self.at, 1]).astype("i1"),
        }


gymnasium.register("Odd-v0", entry_point=Odd)


def play(venv, key, actions):
    def body(state, action):
        return venv.step(state, action, key)

    state, first = venv.reset(key)
    return first, jax.lax.scan(body, state, actions)[1]


def drawn(venv, rows=E):
    keys = jax.random.split(jax.random.key(3), (T, rows))
    return jax.vmap(jax.vmap(venv.spec.action_space.sample))(keys)


def by_hand(name, seed, actions, **options):
    """What one environment says to actions [T], as (obs, reward, end, cut, final obs)."""
    env = gymnasium.make(name, **options)
    one = functools.partial(_row, env.observation_space)
    obs, _ = env.reset(seed=int(seed))
    yield one(obs), 0.0, False, False, one(obs)
    for action in actions:
        if isinstance(env.action_space, theirs.MultiDiscrete):
            action = action + env.action_space.start
        obs, reward, end, cut, _ = env.step(action)
        final = one(obs)
        if end or cut:
            obs, _ = env.reset()
        yield one(obs), reward, end, cut and not end, final


def _row(space, obs):
    return received(space, obs)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CartPole-v1", {"max_episode_steps": 11}),
        ("Taxi-v4", {"max_episode_steps": 13}),
        ("Blackjack-v1", {"sab": True}),
        ("Pendulum-v1", {"max_episode_steps": 7}),
        ("Odd-v0", {}),
    ],
)
def test_every_step_is_gymnasiums_own(name, options):
    venv = make_env(f"gymnasium:{name}", E, **options)
    key, actions = jax.random.key(5), drawn(venv)
    first, steps = jax.jit(functools.partial(play, venv))(key, actions)
    seeds = jax.random.randint(key, (E,), 0, 2**31 - 1, jnp.int32)
    whole = jax.tree.map(lambda a, b: np.concatenate([np.asarray(a)[None], b]), first, steps)
    ends = 0
    for e in range(E):
        hand = list(by_hand(name, seeds[e], np.asarray(actions)[:, e], **options))
        for t, (obs, reward, end, cut, final) in enumerate(hand):
            mine = jax.tree.map(lambda x, t=t, e=e: x[t, e], whole)
            jax.tree.map(np.testing.assert_array_equal, (mine.obs, mine.final_obs), (obs, final))
            assert (mine.reward, mine.terminated, mine.truncated) == (np.float32(reward), end, cut)
            assert mine.reset == (t == 0 or end or cut)
            ends += bool(end or cut)
    assert ends > 3


def test_members_of_a_vmap_play_as_they_would_alone():
    venv = make_env("gymnasium:CartPole-v1", 2)
    keys, actions = jax.random.split(jax.random.key(2), 2), drawn(venv, 2)
    together = jax.jit(jax.vmap(functools.partial(play, venv), in_axes=(0, None)))(keys, actions)
    for i, key in enumerate(keys):
        alone = jax.jit(functools.partial(play, venv))(key, actions)
        row = jax.tree.map(lambda x, i=i: x[i], together)
        jax.tree.map(np.testing.assert_array_equal, row, alone)


def test_actions_out_of_range_are_clipped():
    venv = make_env("gymnasium:CartPole-v1", 2)
    actions = drawn(venv, 2)
    run = jax.jit(functools.partial(play, venv))
    jax.tree.map(
        np.testing.assert_array_equal,
        run(jax.random.key(1), 9 * actions - 4),
        run(jax.random.key(1), actions),
    )


def test_what_an_environment_raises_comes_out():
    venv = make_env("gymnasium:Odd-v0", 1)
    host = venv._make(1)
    state, _ = venv.reset(jax.random.key(0))
    host.env.envs[0].unwrapped.at = np.full(2, 1e3)
    with pytest.raises(
        HostEnvError, match=r"^the environment failed: ArithmeticError: the odd one"
    ):
        venv.step(state, jnp.zeros((1, 2), jnp.int32), jax.random.key(0))
    with pytest.raises(jax.errors.JaxRuntimeError, match="the odd one fell over"):
        jax.jit(venv.step)(state, jnp.zeros((1, 2), jnp.int32), jax.random.key(0))


def test_every_listed_name_is_gymnasiums():
    assert set(IDS) <= set(gymnasium.registry)
    for name in IDS:
        assert make_env(f"gymnasium:{name}").spec.max_steps != 0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("CartPole-v7", {}, "Did you mean 'CartPole-v"),
        ("CartPole-v1", {"num_envs": 0}, "at least 1"),
        ("CartPole-v1", {"gravity_": 3}, "cannot make 'CartPole-v1'.*gravity_"),
        ("no_such_module:Env-v0", {}, "cannot make"),
        ("Ant-v5", {}, "cannot make 'Ant-v5'.*mujoco"),
    ],
)
def test_bad_input_is_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        make_env(f"gymnasium:{name}", **options)
