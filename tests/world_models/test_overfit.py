"""A world model that sees one episode again and again knows all of it."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.rl.two_hot import two_hot
from rlseq.types import Sequences
from rlseq.world_models import make_world_model

from .small import train

UPDATES = 600


@cache
def episode():
    """The first episode of MinAtar's Breakout in which random actions break a brick: [T, 1]."""
    env = rlseq.make_env("minatar:Breakout", num_envs=1)
    step = jax.jit(env.step)
    state, ts = jax.jit(env.reset)(jax.random.key(0))
    rows = []
    for key in jax.random.split(jax.random.key(1), 200):
        if ts.reset[0]:
            if sum(row.reward[0] for row in rows) > 0:
                break
            rows = []
        before, action = ts, jax.random.randint(key, (1,), 0, env.spec.action_space.n)
        state, ts = step(state, action, key)
        rows.append(Sequences(before.obs, action, ts.reward, ts.terminated, before.reset))
    return env.spec, jax.tree.map(lambda *x: jnp.stack(x), *rows)


@pytest.mark.parametrize("core", [pytest.param("gru", marks=pytest.mark.slow), "mamba2"])
def test_one_episode_is_learned_by_heart(core):
    spec, rows = episode()
    assert rows.reward.sum() > 0 and rows.terminated[-1, 0] and rows.reset.sum() == 1
    model = make_world_model(
        "drama", spec.obs_space, spec.action_space.n, core={"name": core}, preset="nano",
        features=64, free_bits=0.0, lr=2e-3,
    )  # fmt: skip
    params, parts = train(model, lambda key: rows, UPDATES)
    first, last = (
        {k: float(v[at].mean()) for k, v in parts.items()} for at in (0, slice(-20, None))
    )
    target = np.asarray(two_hot(rows.reward))
    # A reward lies between two bins, so its cross entropy has a least value above zero.
    least = -(target * np.log(np.maximum(target, 1e-30))).sum(-1).mean()
    latent = jax.jit(model.encode)(params, rows.obs, jax.random.key(2))
    squares = np.square(model.decode(params, latent) - rows.obs)
    assert squares.sum((2, 3, 4)).mean() < 0.05  # over the board's 10 x 10 x 4
    assert last["reward"] - least < 0.005 and last["termination"] < 0.005 and last["kl"] < 0.1
    assert last["loss"] - least < 0.003 * first["loss"]
