"""`precision=bfloat16`: products in half precision; parameters, carries, losses stay float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq import agents, config, registry
from rlseq.agents.behaviour import Behaviour, ImaginedBatch
from rlseq.agents.imagination_settings import ImaginationConfig
from rlseq.agents.on_policy import PolicyParams
from rlseq.envs import make_env
from rlseq.errors import InputError
from rlseq.laws import agent_cases
from rlseq.nn.pixels import NATURE, PixelEncoder
from rlseq.train import build
from rlseq.world_models import make_world_model
from tests.agents import test_probes
from tests.draws import Draws
from tests.products import products
from tests.world_models import small

NAMES = [name for name in registry.names("agent") if name != "decision"]
HALF = jnp.bfloat16


def trained(name, dtype):
    """Shapes and dtypes of (a trained state, metrics)."""
    env = make_env(agent_cases.ENV_ID, agent_cases.ENVS, statistics=True)
    model = agent_cases.MODEL if agent_cases.needs_model(name) else None
    agent = agents.make_agent(
        name, env, core=agent_cases.CORE | {"dtype": dtype}, world_model=model,
        num_updates=agent_cases.UPDATES, **agent_cases.small(name),
    )  # fmt: skip
    state = jax.eval_shape(agent.init, jax.random.key(0))
    out = jax.eval_shape(lambda one: agent.train(one, 1), state)
    return jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), out)


@pytest.mark.parametrize("name", NAMES)
def test_what_every_agent_keeps_and_logs_has_the_same_dtypes(name):
    assert trained(name, "bfloat16") == trained(name, "float32")


def test_products_of_network_and_gradient_are_in_half_precision():
    env = make_env("probe:Leak", 4)
    core = {"name": "min_gru", "features": 8, "dtype": "bfloat16"}
    agent = agents.make_agent("ppo", env, core=core, encoder=8, head=8, minibatches=1)
    state = jax.eval_shape(agent.init, jax.random.key(0))
    obs, reset = jnp.zeros((3, 4, 2)), jnp.zeros((3, 4), bool)

    def loss(params):
        _, policy, value = agent.network.apply(params, agent.init_carry(4), obs, reset)
        return policy.entropy().sum() + value.sum()

    seen = products(jax.grad(loss), state.params.network)
    assert set(seen) == {"bfloat16", "float32"}
    assert seen["float32"] == 6 and seen["bfloat16"] > 14  # policy and value, two gradients each


def test_actor_and_critic_of_imagination_too():
    sizes = ImaginationConfig(actor=6, critic=7, contexts=4, horizon=3)
    whole, half = (Behaviour(sizes, 5, 3, dtype=dtype) for dtype in ("float32", "bfloat16"))
    state = whole.init(jax.random.key(0))
    draws = Draws(0)
    features, number = draws.normal(4, 5), draws.normal(4)
    batch = ImaginedBatch(
        features, features, jnp.arange(4) % 3, number, number, number, number, jnp.ones(4, bool)
    )
    params = jax.tree.map(
        lambda p: p + 0.3 * jnp.sin(jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape),
        state.params,
    )

    def gradient(behaviour):
        return jax.grad(lambda params: behaviour.loss(params, batch)[0])

    seen = products(gradient(half), params)
    # Two gradients each: of the last layers, and of three before them, but for that by the inputs.
    assert seen == {"float32": 6, "bfloat16": 2 * (3 * 3 - 1)}
    assert set(products(gradient(whole), params)) == {"float32"}
    exact, near = (jax.jit(gradient(one))(params) for one in (whole, half))
    for one, other in zip(jax.tree.leaves(near), jax.tree.leaves(exact), strict=True):
        assert one.dtype == jnp.float32
        assert np.abs(one - other).max() < 0.05 * max(1, np.abs(other).max())
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (near, exact)), strict=True))


def test_layers_of_stream_around_the_core_too():
    env, core = make_env("probe:Leak", 4), {"name": "rtu", "features": 8, "dtype": "bfloat16"}
    agent = agents.make_agent("stream", env, core=core, num_updates=1, encoder=8, head=8)
    state = jax.eval_shape(agent.init, jax.random.key(0))
    obs, reset = jnp.zeros((4, 2)), jnp.zeros(4, bool)

    def loss(network):
        params = PolicyParams(network, agent.observations.init_moments())
        _, policy, value = agent.policy(params, agent.init_carry(4), obs, reset)
        return policy.entropy().sum() + value.sum()

    seen = products(jax.grad(loss), state.params.network)
    # An encoder, a projection and a head on both sides; the observations have no gradient.
    assert seen == {"float32": 6, "bfloat16": 2 * (3 * 3 - 1)}


def test_an_image_is_encoded_in_it():
    x = jnp.asarray(np.random.default_rng(0).integers(0, 255, (2, 84, 84, 4), "uint8"))
    whole, half = (PixelEncoder(NATURE, (8,), dtype=dtype) for dtype in ("float32", "bfloat16"))
    params = whole.init(jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(
        jnp.shape, half.init(jax.random.key(0), x)
    )
    y = half.apply(params, x)
    assert y.dtype == HALF
    np.testing.assert_allclose(y.astype(jnp.float32), whole.apply(params, x), atol=0.05)


def test_ppo_solves_a_probe_in_it(monkeypatch):
    monkeypatch.setitem(test_probes.OPTIONS, "gru", {"dtype": "bfloat16"})
    env, earned, _ = test_probes.outcome("Recall", "gru")
    assert earned > env.optimal_return - 0.05


def test_losses_of_a_world_model_are_float32_and_near():
    batch, key = small.random_batch(), jax.random.key(1)
    whole, half = (
        make_world_model(
            "drama",
            small.VECTOR,
            small.ACTIONS,
            core={"name": "gru", "dtype": dtype},
            **small.SIZES,
        )
        for dtype in ("float32", "bfloat16")
    )
    params = whole.init(jax.random.key(0))
    (a, (parts, _)), (b, (rounded, _)) = (model.loss(params, batch, key) for model in (whole, half))
    assert b.dtype == jnp.float32 and a != b
    for name in parts:
        assert rounded[name].dtype == jnp.float32
        np.testing.assert_allclose(rounded[name], parts[name], rtol=0.1, atol=0.05, err_msg=name)


def test_a_run_takes_it_for_its_core():
    job = build.build(config.compose(["experiment=debug", "precision=bfloat16"]))
    assert job.agent.network.cores[0].dtype == "bfloat16"
    with pytest.raises(InputError, match=r"core\.dtype=float16: choose one"):
        build.build(
            config.compose(["experiment=debug", "precision=bfloat16", "core.dtype=float16"])
        )
    with pytest.raises(InputError, match="Did you mean 'bfloat16'"):
        config.compose(["experiment=debug", "precision=bfloat17"])
