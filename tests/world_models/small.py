"""The smallest world models that still show what Drama does."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import optax
from gymnax.environments import spaces

from rlseq.types import Sequences
from rlseq.world_models import make_world_model
from tests.draws import Draws

ACTIONS, WIDTH = 3, 2
VECTOR = spaces.Box(-1.0, 1.0, (WIDTH,), jnp.float32)
SIZES = {
    "latents": 4, "classes": 4, "features": 16, "head": 16, "widths": (16,), "dropout": 0.0,
}  # fmt: skip


@cache
def make(core="gru", layers=1, space=VECTOR, **changes):
    """A tiny Drama on vectors of two numbers."""
    memory = {"name": core, "layers": layers}
    return make_world_model("drama", space, ACTIONS, core=memory, **(SIZES | changes))


def random_batch(length=7, batch=2, seed=0, width=WIDTH):
    """Noise with episodes that begin anywhere."""
    draws, shape = Draws(seed), (length, batch)
    return Sequences(
        draws.normal(*shape, width),
        draws.rng.integers(0, ACTIONS, shape, "int32"),
        draws.normal(*shape),
        draws.happens(0.3, *shape),
        draws.happens(0.3, *shape),
    )


def train(model, draw_batch, updates, seed=0):
    """Parameters after so many updates on draw_batch(key), and the parts of every loss [updates]"""
    optimiser = model.optimiser()

    def update(state, key):
        params, moments = state
        batch_key, loss_key = jax.random.split(key)
        batch = draw_batch(batch_key)
        (_, (parts, _)), grads = jax.value_and_grad(model.loss, has_aux=True)(
            params, batch, loss_key
        )
        with jax.numpy_dtype_promotion("standard"):
            change, moments = optimiser.update(grads, moments, params)
        return (optax.apply_updates(params, change), moments), parts

    @partial(jax.jit, static_argnums=1)
    def run(key, updates):
        init_key, key = jax.random.split(key)
        params = model.init(init_key)
        keys = jax.random.split(key, updates)
        (params, _), parts = jax.lax.scan(update, (params, optimiser.init(params)), keys)
        return params, parts

    return run(jax.random.key(seed), updates)


def imagine(model, params, carry, latent, actions, resets, key):
    """`imagine_step` over actions [T, B] from its own latents: Imagined [T, B, ...]."""

    def body(state, inputs):
        carry, latent = state
        carry, out = model.imagine_step(params, carry, latent, *inputs)
        return (carry, out.latent), out

    keys = jax.random.split(key, actions.shape[0])
    return jax.lax.scan(body, (carry, latent), (actions, resets, keys))[1]
