"""Foresight beside steps taken by hand, and the film that is made of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.analysis.predictions import predict
from rlseq.types import Sequences
from tests.world_models.small import make, random_batch

CONTEXT, LENGTH = 3, 7
foreseen_by = jax.jit(predict, static_argnums=(0, 3))


@pytest.fixture(scope="module")
def predictions():
    model, rows = make(), random_batch(LENGTH)
    params = jax.jit(model.init)(jax.random.key(0))
    predicted = foreseen_by(model, params, rows, CONTEXT, jax.random.key(1))
    return model, params, rows, predicted


def test_the_context_is_seen_and_the_rest_is_not(predictions):
    model, params, rows, predicted = predictions
    assert predicted.obs.shape == rows.obs.shape and predicted.reward.shape == rows.reward.shape
    other = rows._replace(obs=np.concatenate([rows.obs[:CONTEXT], rows.obs[CONTEXT:] + 3]))
    again = foreseen_by(model, params, other, CONTEXT, jax.random.key(1))
    for one, two in zip(predicted, again, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)
    other = rows._replace(obs=np.concatenate([rows.obs[:1] + 3, rows.obs[1:]]))
    moved = foreseen_by(model, params, other, CONTEXT, jax.random.key(1))
    assert not np.allclose(predicted.obs[0], moved.obs[0])


def test_rewards_and_ends_are_those_of_the_model_step_by_step(predictions):
    model, params, rows, predicted = predictions
    see_key, key = jax.random.split(jax.random.key(1))
    seen, keys = model.encode(params, rows.obs, see_key), jax.random.split(key, LENGTH)
    carry, guess = model.init_carry(rows.action.shape[1]), None
    for t in range(LENGTH):
        latent = seen[t] if t < CONTEXT else guess
        np.testing.assert_allclose(predicted.obs[t], model.decode(params, latent), atol=1e-5)
        carry, said = model.imagine_step(
            params, carry, latent, rows.action[t], rows.reset[t], keys[t]
        )
        guess = said.latent
        np.testing.assert_allclose(predicted.reward[t], said.reward, atol=1e-5)
        chance = 1 / (1 + np.exp(-np.asarray(said.termination_logit, np.float64)))
        np.testing.assert_allclose(predicted.termination[t], chance, atol=1e-5)


@pytest.mark.parametrize("kind", [jnp.uint8, jnp.float32])
def test_a_film_has_an_image_a_step(kind):
    from rlseq.analysis.imagine import video_frames
    from rlseq.analysis.predictions import Predictions

    shape = (4, 1, 8, 8, 3)
    rng = np.random.default_rng(0)
    obs = jnp.asarray(rng.uniform(0, 255 if kind == jnp.uint8 else 1, shape), kind)
    flat = jnp.zeros((4, 1))
    rows = Sequences(obs, flat.astype(jnp.int32), flat, flat > 1, flat > 1)
    predicted = Predictions(
        np.asarray(obs, np.float32) * np.float32(0.5), np.ones((4, 1)), np.zeros((4, 1))
    )
    film = list(video_frames(rows, predicted, 2))
    assert len(film) == 4 and all(
        one.dtype == np.uint8 and one.shape == (480, 640, 3) for one in film
    )
    assert (film[0] != film[3]).any()
