"""What a trained model imagines: rewards, ends and memories come when they are due."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.rl.two_hot import symexp
from rlseq.types import Sequences
from tests.world_models.small import ACTIONS, imagine, make, train

LENGTH = 11  # steps of an episode of the toy
BATCH = 32
SETTINGS = {"lr": 3e-3, "warmup": 50, "features": 32, "free_bits": 0.0, "weight_decay": 0.0}


def episodes(key):
    """Whole episodes of the toy: a sign is shown at the first step and never again, the reward is
    sign x (1 + action), time is seen, and the end comes after LENGTH steps.
    """
    sign_key, action_key = jax.random.split(key)
    shape = (LENGTH, BATCH)
    sign = jnp.where(jax.random.bernoulli(sign_key, shape=(1, BATCH)), 1.0, -1.0)
    sign = jnp.broadcast_to(sign, shape)
    time = jnp.broadcast_to(jnp.arange(LENGTH)[:, None], shape)
    action = jax.random.randint(action_key, shape, 0, ACTIONS)
    shown = jnp.where(time == 0, sign, 0)
    obs = jnp.stack([shown, time.astype(jnp.float32) / LENGTH], axis=-1)
    reward = sign * (1 + action.astype(jnp.float32))
    return Sequences(obs, action, reward, time == LENGTH - 1, time == 0)


@cache
def imagined(core, **changes):
    """A whole imagined episode beside the real one: (Imagined, Sequences), both [LENGTH, BATCH]."""
    model = make(core, **(SETTINGS | changes))
    params, _ = train(model, episodes, 600)
    real = episodes(jax.random.key(99))

    @jax.jit
    def run(key):
        carry = model.init_carry(BATCH)
        latent = model.encode(params, real.obs[0], key)
        return imagine(model, params, carry, latent, real.action, real.is_first, key)

    return run(jax.random.key(3)), real


CORES = ["gru", pytest.param("mamba2", marks=pytest.mark.slow)]


@pytest.mark.parametrize("core", CORES)
def test_an_imagined_reward_is_that_of_its_action(core):
    told, real = imagined(core)
    wrong = np.abs(np.abs(told.reward) - np.abs(real.reward))
    assert wrong.mean() < 0.1 and np.quantile(wrong, 0.98) < 0.5


@pytest.mark.parametrize("core", CORES)
def test_the_imagined_end_comes_with_the_real_one(core):
    told, real = imagined(core)
    assert (np.asarray(told.terminated) == np.asarray(real.terminated)).mean() > 0.99


@pytest.mark.parametrize("core", CORES)
def test_imagination_remembers_what_was_seen_ten_steps_before(core):
    told, real = imagined(core)
    assert set(np.unique(np.sign(real.reward[-1]))) == {-1.0, 1.0}
    assert (np.sign(told.reward[-1]) == np.sign(real.reward[-1])).mean() > 0.95


@pytest.mark.slow
def test_the_released_order_tells_rewards_and_ends_one_step_late():
    told, real = imagined("gru", reward_before_action=True)
    now, before = (np.abs(told.reward[1:] - r).mean() for r in (real.reward[1:], real.reward[:-1]))
    assert before < 0.1 and now > 0.5
    assert not np.asarray(told.terminated).any()  # it would be told after the episode


def test_one_episode_is_learned_by_heart():
    keys = jax.random.split(jax.random.key(5), 3)
    length = 8
    on_bins = symexp(jnp.array([[-3.0], [0], [0], [2], [0], [1], [0], [4]]) * (40 / 254))
    batch = Sequences(
        jax.random.normal(keys[0], (length, 1, 2)),
        jax.random.randint(keys[1], (length, 1), 0, ACTIONS),
        on_bins,  # so that the two-hot target has no entropy of its own
        jnp.arange(length)[:, None] == length - 1,
        jnp.arange(length)[:, None] == 0,
    )
    model = make("gru", **SETTINGS, unimix=0.0)
    _, parts = train(model, lambda key: batch, 600)
    first, last = (float(parts["loss"][i]) for i in (0, -1))
    assert last < 0.05 < 5 < first
    assert all(float(v[-1]) < 0.05 for k, v in parts.items() if k != "entropy")
