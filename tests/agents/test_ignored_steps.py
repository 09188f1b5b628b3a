"""Ends that take two steps, and ends for the learner alone: what PPO learns from, and what not."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.spaces import Box, Discrete

import rlseq
from rlseq.agents.acting import Actor
from rlseq.agents.rollout import collect
from rlseq.envs.wrappers import EpisodeStatistics
from rlseq.nn.distributions import Categorical
from rlseq.rl.returns import gae
from rlseq.types import EnvSpec, TimeStep
from tests.agents.small import KEY, SETTINGS, arrays, same

SPEC = EnvSpec("scripted", Box(-1e3, 1e3, (1,), jnp.float32), Discrete(2), True, None)
UNSEEN = 999.0  # the value of last observations: nothing may come of it


class Scripted:
    """Two environments whose time steps are written down; what is seen is its own value."""

    num_envs, spec = 2, SPEC
    seen = np.array([[10, 20, UNSEEN, 30, 40, UNSEEN, 50], [1, 2, 3, 4, 5, 6, 8]], np.float32)
    reward = np.array([[0, 1, 2, 0, 3, 4, 0], [0, 1, 1, 1, 1, 1, 1]], np.float32)
    terminated, truncated, restarted, life_lost = np.zeros((4, 2, 7), bool)
    terminated[0, 2] = truncated[0, 5] = restarted[0, [3, 6]] = life_lost[1, 2] = True

    def reset(self, key):
        return self._at(jnp.int32(0))

    def step(self, state, action, key):
        return self._at(state + 1)

    def _at(self, time):
        now = partial(jnp.take, indices=time, axis=1)
        first = jnp.full(2, time == 0)
        obs, restarted = now(jnp.asarray(self.seen))[:, None], now(jnp.asarray(self.restarted))
        ends = (now(jnp.asarray(x)) for x in (self.reward, self.terminated, self.truncated))
        lost = now(jnp.asarray(self.life_lost))
        return time, TimeStep(obs, *ends, first | restarted, obs, ~restarted, lost)


def count_and_read(carry, obs, reset):
    """A policy whose carry counts the observations of an episode, its value what it sees."""
    return jnp.where(reset, 0, carry) + 1, Categorical(jnp.zeros((2, 2))), obs[:, 0]


def test_advantages_of_ends_in_two_steps_and_of_lost_lives_by_hand():
    env = EpisodeStatistics(Scripted())
    actor = Actor(*env.reset(KEY), jnp.zeros(2, jnp.int32), KEY)
    actor, t, episodes = jax.jit(lambda a: collect(env, count_and_read, a, 6))(actor)
    advantage = gae(
        t.reward, t.value, t.next_value, t.terminated, t.done, t.mask, gamma=0.5, lam=0.5
    )
    # Environment 0: an end for good (-18 = 2 - 20), its ignored step, a sum that stops at V = 40
    # (-7 = 3 + 20 - 30), the step that was cut, its ignored step. 1: no V = 3 where a life is lost.
    by_hand = [[-3.5, -18, 0, -7, 0, 0], [0.75, -1, -0.203125, -0.8125, -1.25, -1]]
    np.testing.assert_array_equal(advantage.T, np.float32(by_hand))
    np.testing.assert_array_equal(t.mask[:, 0], [True, True, False, True, False, False])
    assert t.mask[:, 1].all()
    np.testing.assert_array_equal(actor.carry, [3, 6])  # the lost life leaves the memory alone
    # Two episodes ended, of 1 + 2 and 3 + 4 in two steps each; two of twelve actions were ignored.
    assert episodes == (2, 10, 4, 10)


class Played(NamedTuple):
    time: Any  # [E] int32
    last: Any  # [E] float32, what an end shows


class TwoStepEnds(NamedTuple):
    """Pays for action 1; episodes end after 3 steps, cut if `cut`, and show `last` there."""

    cut: bool
    num_envs: int = 4
    spec: Any = SPEC

    def reset(self, key):
        state = Played(jnp.arange(4, dtype=jnp.int32) % 3, jnp.zeros(4))
        return state, self._shown(state, jnp.zeros(4), jnp.ones(4, bool))

    def step(self, state, action, key):
        restarted = state.time == 3
        state = state._replace(time=jnp.where(restarted, 0, state.time + 1))
        paid = jnp.where(restarted, 0, (action == 1).astype(jnp.float32))
        return state, self._shown(state, paid, restarted)

    def _shown(self, state, reward, restarted):
        ended = state.time == 3
        obs = jnp.where(ended, state.last, state.time.astype(jnp.float32))[:, None]
        never = jnp.zeros(4, bool)
        ends = (never, ended) if self.cut else (ended, never)
        return TimeStep(obs, reward, *ends, restarted, obs, ~restarted)


@pytest.mark.parametrize("cut", [False, True])
def test_what_the_last_observation_shows_changes_nothing(cut):
    env: Any = TwoStepEnds(cut)
    settings = SETTINGS | {"num_steps": 9, "value_clip": 0.2, "normalize_observations": True}
    core = {"name": "gru", "features": 8, "layers": 1}
    agent = rlseq.make_agent("ppo", env, core=core, num_updates=3, **settings)
    start = agent.init(KEY)
    counted = start.actor.env_state
    trained = []
    for last in (-3.0, 900.0):
        played = counted._replace(inner=counted.inner._replace(last=jnp.full(4, last)))
        actor = start.actor._replace(env_state=played)
        state, metrics = agent.train(start._replace(actor=actor), 3)
        trained.append((state.params, metrics))
        # One step in four is ignored.
        seen = 3 * 4 * 9 - int(metrics["valid_steps"])
        assert 3 * 4 * 2 <= seen <= 3 * 4 * 3
    same(*trained)
    kept = trained[0][0].moments
    assert np.isclose(kept.mean, 0.5 if cut else 1, atol=0.1)  # of 0, 1 and, not cut, 2
    assert kept.count < metrics["valid_steps"] if cut else kept.count == metrics["valid_steps"]
    assert all(np.isfinite(x).all() for x in arrays(trained[0][0]))
