"""Frames stacked by the agent: the replay shows what acted, across ends, cuts and lost lives."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.agents.experience import collect_rows
from rlseq.agents.frames import FrameStack
from rlseq.replay.ring import allowed_starts
from rlseq.replay.starts import Starts, UniformStarts
from rlseq.replay.store import Replay
from tests.agents.small import KEY

ENVS, LENGTH, STEPS, FRAMES = 3, 110, 160, 3
GAME = {"preset": "custom", "size": 20, "grey": True, "max_frames": 400}
SETTINGS = {
    "frames": FRAMES, "length": 4, "burn_in": 2, "n_step": 3, "n_step_first": 3, "encoder": 0,
    "head": 0, "encoder_kind": "efficient", "num_steps": 1, "warmup": 60, "capacity": ENVS * LENGTH,
}  # fmt: skip


@cache
def played(core):
    """(agent, ring of rows and of the stacks that acted on them) of Breakout, all at random."""
    env = rlseq.make_env("atari:Breakout", ENVS, **GAME)
    memory = {"name": core, "features": 4, "layers": 1}
    agent = rlseq.make_agent("r2d2", env, core=memory, **SETTINGS)
    replay = Replay(LENGTH, UniformStarts())

    def row(carry, old, action, new):
        stack = agent.frames.push(carry.frames, old.obs, old.reset)[1]
        return agent._row(carry, old, action, new), stack

    @jax.jit
    def run(key):
        state = agent.init(key)
        actor, ts = state.actor, state.actor.timestep
        like = row(actor.carry, ts, jnp.zeros(ENVS, jnp.int32), ts)
        return collect_rows(
            agent.env, lambda *given: agent._act(state, *given), actor, replay,
            replay.init(like), STEPS, row,
        )[1].ring  # fmt: skip

    ring = run(KEY)
    return agent, ring._replace(rows=ring.rows[0]), np.asarray(ring.rows[1])


def indices_of(ring, before, after):
    """(env, index) of the rows with so many written ones before and after them."""
    env, first = np.nonzero(allowed_starts(ring, before + 1 + after))
    return env.astype(np.int32), ((first + before) % LENGTH).astype(np.int32)


def test_stacks_from_the_replay_are_those_that_acted():
    agent, ring, acted = played("gru")
    rows = ring.rows
    env, index = indices_of(ring, FRAMES - 1, 0)
    stacks = jax.jit(agent.frames.gather)(rows.obs, rows.reset, env, index)
    np.testing.assert_array_equal(stacks, acted[env, index])
    following = (index + 1) % LENGTH
    ended, cut, reset = (np.asarray(x) for x in (rows.terminated, rows.truncated, rows.reset))
    new = reset[env, following]
    assert (ring.written > LENGTH).all()  # and the ring was full
    assert (ended[env, index] & ~new).any() and (cut[env, index] & new).any()
    assert not acted[env, index][reset[env, index]][..., :-1].any()  # nothing before an episode


@pytest.mark.parametrize("core", ["gru", "mlp"])
def test_a_sequence_is_made_of_the_stacks_that_acted(core):
    agent, ring, acted = played(core)
    c, learner = agent.config, agent.learner
    env, index = (x[::7] for x in indices_of(ring, FRAMES - 1, learner.window - FRAMES))
    starts = Starts(
        jnp.asarray(env), jnp.asarray((index - FRAMES + 1) % LENGTH), jnp.ones(len(env))
    )
    batch = jax.jit(learner.batch)(ring, starts, jnp.int32(0), KEY)
    at = (index[None] + np.arange(c.burn_in + c.length)[:, None]) % LENGTH
    mine = at[c.burn_in :]
    if core == "gru":
        assert c.burn_in == 2 and batch.following is None
        np.testing.assert_array_equal(batch.obs[: c.burn_in + c.length], acted[env, at])
        carry, stored = (jax.tree.leaves(x) for x in (batch.carry, ring.rows.carry))
        for mine_now, rows in zip(carry, stored, strict=True):
            np.testing.assert_array_equal(mine_now, rows[env, index])
    else:
        assert c.burn_in == 0
        np.testing.assert_array_equal(batch.obs, acted[env, mine])
        after = (mine + batch.returns.steps) % LENGTH
        np.testing.assert_array_equal(batch.following, acted[env, after])
    np.testing.assert_array_equal(batch.action, np.asarray(ring.rows.action)[env, mine])


def test_the_agents_stacks_of_atari100k_der_are_those_of_the_emulator():
    actions = np.random.default_rng(0).integers(0, 4, (400, 2)).astype(np.int32)

    def play(preset):
        env = rlseq.make_env("atari:Breakout", 2, preset=preset)
        stack = FrameStack(1 if preset == "atari_dqn" else 4, env.spec.obs_space)

        @jax.jit
        def run(key):
            def body(old, action):
                state, frames = old
                state, ts = env.step(state, action, key)
                frames, seen = stack.push(frames, ts.obs, ts.reset)
                return (state, frames), (seen, ts._replace(obs=(), final_obs=()))

            state, first = env.reset(key)
            frames, seen = stack.push(stack.init_carry(2), first.obs, first.reset)
            return seen, jax.lax.scan(body, (state, frames), actions)[1]

        return run(KEY)

    ours, theirs = play("atari100k_der"), play("atari_dqn")
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert ours[1][1].reset.any() and ours[1][1].learn_terminal.any()
