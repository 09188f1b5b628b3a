"""Imagination from the model's own batch begins where acting would: without training's dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.agents import imagined
from tests.world_models.small import make, random_batch

LENGTH, BATCH, EVERY = 6, 2, 2


@pytest.mark.parametrize("across", [False, True])
def test_hidden_and_carry_are_of_one_pass_without_dropout(across):
    model = make(dropout=0.5, cross_episodes=across)
    rows = jax.tree.map(jnp.asarray, random_batch(LENGTH, BATCH))
    starts = np.asarray(rows.reset)[::EVERY]
    assert starts[1:].any() and not starts[1:].all()

    @jax.jit
    def run(key):
        params = model.init(key)
        seen = model.loss(params, rows, key)[1][1]
        start = imagined.start_from_batch(model, params, rows, seen, EVERY)
        carry, acted = model.init_carry(BATCH), []
        for t in range(LENGTH):
            acted.append((carry, model.perceive(params, carry, rows.obs[t], rows.reset[t], key)))
            carry = model.advance(params, carry, seen.latent[t], rows.action[t], rows.reset[t])
        hidden = jnp.concatenate([seen_then.hidden for _, seen_then in acted[::EVERY]])
        core = jax.tree.map(lambda *x: jnp.concatenate(x), *[c.core for c, _ in acted[::EVERY]])
        trained = seen.hidden[::EVERY].reshape(-1, hidden.shape[-1])
        return start, hidden, core, trained

    start, hidden, core, trained = run(jax.random.key(3))
    np.testing.assert_allclose(start.carry.hidden, hidden, rtol=1e-4, atol=1e-5)
    for ours, acted in zip(*map(jax.tree.leaves, (start.carry.core, core)), strict=True):
        np.testing.assert_allclose(ours, acted, rtol=1e-4, atol=1e-5)
    going = np.linalg.norm(hidden, axis=-1) > 0
    apart = np.linalg.norm((trained - hidden)[going]) / np.linalg.norm(hidden[going])
    assert apart > 0.3  # so far from it the training pass is
    assert (start.carry.hidden[going] != 0).all()
