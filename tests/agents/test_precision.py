"""`precision=bfloat16`: products in half precision; parameters, carries, losses stay float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from rlseq import agents, config, registry
from rlseq.envs import make_env
from rlseq.errors import InputError
from rlseq.laws import agent_cases
from rlseq.nn.pixels import NATURE, PixelEncoder
from rlseq.train import build
from rlseq.world_models import make_world_model
from tests.agents import test_probes
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


def products(jaxpr):
    """The dtypes of the factors of every product in a program, those inside of others too."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            found.append({var.aval.dtype.type for var in equation.invars})
        for inner in jaxprs_in_params(equation.params):
            found += products(inner)
    return found


def test_products_of_network_and_gradient_are_in_half_precision():
    env = make_env("probe:Leak", 4)
    core = {"name": "min_gru", "features": 8, "dtype": "bfloat16"}
    agent = agents.make_agent("ppo", env, core=core, encoder=8, head=8, minibatches=1)
    state = jax.eval_shape(agent.init, jax.random.key(0))
    obs, reset = jnp.zeros((3, 4, 2)), jnp.zeros((3, 4), bool)

    def loss(params):
        _, policy, value = agent.network.apply(params, agent.init_carry(4), obs, reset)
        return policy.entropy().sum() + value.sum()

    seen = products(jax.make_jaxpr(jax.grad(loss))(state.params.network).jaxpr)
    last = [kinds for kinds in seen if HALF.dtype.type not in kinds]
    assert all(kinds == {HALF.dtype.type} for kinds in seen if kinds not in last)
    assert len(last) == 6 and len(seen) > 20  # policy and value, with two gradients each


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
