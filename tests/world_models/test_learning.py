"""What a trained model imagines: rewards, ends and memories come when they are due."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
        return imagine(model, params, carry, latent, real.action, real.reset, key)

    return run(jax.random.key(3)), real


CORES = ["gru", pytest.param("mamba2", marks=pytest.mark.slow)]


@pytest.mark.parametrize("core", CORES)
def test_an_imagined_reward_is_that_of_its_action(core):
    predicted, real = imagined(core)
    wrong = np.abs(np.abs(predicted.reward) - np.abs(real.reward))
    assert wrong.mean() < 0.1 and np.quantile(wrong, 0.98) < 0.5


@pytest.mark.parametrize("core", CORES)
def test_the_imagined_end_comes_with_the_real_one(core):
    predicted, real = imagined(core)
    assert (np.asarray(predicted.terminated) == np.asarray(real.terminated)).mean() > 0.99


@pytest.mark.parametrize("core", CORES)
def test_imagination_remembers_what_was_seen_ten_steps_before(core):
    predicted, real = imagined(core)
    assert set(np.unique(np.sign(real.reward[-1]))) == {-1.0, 1.0}
    assert (np.sign(predicted.reward[-1]) == np.sign(real.reward[-1])).mean() > 0.95
