"""World models outside jit: every method of the protocol is one program."""

import inspect

import jax
import jax.numpy as jnp
import pytest

from rlseq.world_models.types import WorldModel
from tests.compilations import again
from tests.world_models.small import make, random_batch

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def calls():
    """Method -> a call of it, for every method of the protocol that computes something."""
    model, batch = make(), random_batch(6)
    params, carry = model.init(KEY), model.init_carry(2)
    rows = batch.obs, batch.action, batch.reset
    first = tuple(x[0] for x in rows)
    latent = model.encode(params, batch.obs, KEY)
    return {
        "init": lambda: model.init(KEY),
        "init_carry": lambda: model.init_carry(2),
        "loss": lambda: model.loss(params, batch, KEY),
        "encode": lambda: model.encode(params, batch.obs, KEY),
        "decode": lambda: model.decode(params, latent),
        "observe": lambda: model.observe(params, carry, *rows, KEY),
        "remember": lambda: model.remember(params, carry, latent, *rows[1:], 3),
        "perceive": lambda: model.perceive(params, carry, first[0], first[2], KEY),
        "advance": lambda: model.advance(params, carry, latent[0], *first[1:]),
        "imagine_step": lambda: model.imagine_step(params, carry, latent[0], *first[1:], KEY),
    }


def test_every_method_of_the_protocol_is_called(calls):
    methods = {name for name, _ in inspect.getmembers(WorldModel, inspect.isfunction)}
    assert {name for name in methods if not name.startswith("_")} == {*calls, "optimiser"}


def test_eager_calls_compile_once(calls):
    assert not {name: events for name, call in calls.items() if (events := again(call))}


def test_inside_jit_a_world_model_is_inlined():
    model = make()
    params, carry = model.init(KEY), model.init_carry(2)
    latent, action = jnp.zeros((2, model.latent_size)), jnp.zeros(2, jnp.int32)
    arguments = params, carry, latent, action, jnp.zeros(2, bool), KEY
    text = str(jax.make_jaxpr(model.imagine_step)(*arguments))
    bare = type(model).imagine_step.__wrapped__
    assert text == str(jax.make_jaxpr(lambda *x: bare(model, *x))(*arguments))
