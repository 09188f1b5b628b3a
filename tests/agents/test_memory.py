"""Accumulated gradients and layers computed again save memory and change nothing learned."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rlseq import agents
from rlseq.agents.on_policy import check_sizes
from rlseq.agents.pqn import QBatch
from rlseq.agents.rollout import select_sequences
from rlseq.agents.updates import minibatch_epochs
from rlseq.cores import make_core
from rlseq.envs import make_env
from rlseq.errors import InputError
from rlseq.laws import agent_cases
from rlseq.rl.losses import masked_mean
from tests.draws import Draws


def masked_square(params, batch):
    """A loss like those of agents: a mean over the mask."""
    error = jnp.square(params["w"] * batch.obs - batch.target)
    loss = masked_mean(error, batch.mask)
    return loss, {"loss/square": loss}


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_with_different_masks_make_the_step_of_the_whole(parts):
    draws = Draws(0)
    batch = QBatch(
        (), draws.normal(5, 8), draws.happens(0.1, 5, 8), (), draws.normal(5, 8),
        draws.happens(0.4, 5, 8),
    )  # fmt: skip
    batch = jax.tree.map(jnp.asarray, batch)
    optimiser, params = optax.sgd(0.1), {"w": jnp.float32(0.3)}

    def run(parts):
        return minibatch_epochs(
            masked_square, optimiser, params, optimiser.init(params),
            lambda rows: select_sequences(batch, rows), 8, jax.random.key(0),
            epochs=2, minibatches=2, parts=parts,
        )  # fmt: skip

    for a, b in zip(jax.tree.leaves(run(1)), jax.tree.leaves(run(parts)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("name", ["ppo", "pqn"])
def test_an_agent_learns_the_same_from_accumulated_gradients(name):
    env = make_env(agent_cases.ENV_ID, 8, statistics=True)

    def after_an_update(accumulate):
        settings = agent_cases.small(name) | {"minibatches": 2, "accumulate": accumulate}
        agent = agents.make_agent(name, env, core=agent_cases.CORE, num_updates=2, **settings)
        state, metrics = agent.train(agent.init(jax.random.key(0)), 1)
        return state.params, metrics

    for a, b in zip(
        jax.tree.leaves(after_an_update(1)), jax.tree.leaves(after_an_update(4)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_parts_that_do_not_divide_a_minibatch_are_refused():
    with pytest.raises(InputError, match="must divide the 4 environments of a minibatch, got 3"):
        check_sizes(8, 2, 1, 3)


@pytest.mark.parametrize("options", [{"name": "gru"}, {"name": "s5", "dropout": 0.3}],
                         ids=lambda options: options["name"])  # fmt: skip
def test_layers_computed_again_have_the_same_values_and_gradients_and_keep_less(options):
    block = {"features": 8, "layers": 3, "norm": "pre", "residual": True, "mixer": "full_glu"}
    plain, again = (make_core(**options, **block, remat=on) for on in (False, True))
    x, reset = Draws(1).normal(12, 4, 8), Draws(2).happens(0.2, 12, 4)
    carry = plain.init_carry(4)
    params = plain.init(jax.random.key(0), carry, x, reset)
    assert jax.tree.structure(params) == jax.tree.structure(
        jax.eval_shape(again.init, jax.random.key(0), carry, x, reset)
    )

    def outcome(core):
        def loss(params):
            rngs = {"dropout": jax.random.key(1)}
            carried, y = core.apply(params, carry, x, reset, rngs=rngs)
            return jnp.square(y).sum(), carried

        kept = jax.eval_shape(lambda p: jax.vjp(loss, p, has_aux=True)[1], params)
        size = sum(leaf.size for leaf in jax.tree.leaves(kept) if hasattr(leaf, "size"))
        return jax.jit(jax.value_and_grad(loss, has_aux=True))(params), size

    (values, kept), (same, less) = outcome(plain), outcome(again)
    for a, b in zip(jax.tree.leaves(values), jax.tree.leaves(same), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert less < 0.5 * kept
