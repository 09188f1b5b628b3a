"""Open-loop predictions of a world model: it sees a context and imagines the steps after it."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.types import Params, PyTree, Sequences
from rlseq.world_models.types import WorldCarry, WorldModel


class Predictions(NamedTuple):
    """Predictions for each recorded step; within the context the model saw the observation."""

    obs: PyTree  # [T, B, ...] float32 in the units of the observation space
    reward: Array  # [T, B] float32, what action[t] is expected to bring
    termination: Array  # [T, B] float32, the probability that action[t] ends the episode


def predict(
    model: WorldModel, params: Params, rows: Sequences, context: int, key: Array
) -> Predictions:
    """Predict along recorded actions [T, B]; from step `context` on all latents are imagined."""
    see_key, key = jax.random.split(key)
    length, batch = rows.action.shape
    seen = model.encode(params, rows.obs, see_key)
    inputs = (seen, rows.action, rows.reset, jnp.arange(length), jax.random.split(key, length))
    begin = (model.init_carry(batch), jnp.zeros((batch, model.latent_size), seen.dtype))
    latent, reward, logit = jax.lax.scan(partial(_step, model, params, context), begin, inputs)[1]
    return Predictions(model.decode(params, latent), reward, jax.nn.sigmoid(logit))


def _step(
    model: WorldModel,
    params: Params,
    context: int,
    carried: tuple[WorldCarry, Array],
    row: tuple[Array, ...],
) -> tuple[tuple[WorldCarry, Array], tuple[Array, Array, Array]]:
    carry, guess = carried
    seen, action, reset, t, key = row
    latent = jnp.where(t < context, seen, guess)
    carry, imagined = model.imagine_step(params, carry, latent, action, reset, key)
    return (carry, imagined.latent), (latent, imagined.reward, imagined.termination_logit)
