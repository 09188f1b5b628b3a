"""Shares of a batch on several devices make the loss and the gradient of the whole."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.rl import devices
from rlseq.rl.losses import masked_mean


class Batch(NamedTuple):
    carry: Any  # [B, D]
    x: jax.Array  # [T, B, D]
    reset: jax.Array
    mask: jax.Array | None


def loss(params, batch):
    y = jnp.tanh(batch.x + batch.carry[None]) @ params["w"] + params["b"]
    y = jnp.where(batch.reset, 0, y)
    return masked_mean(y**2, batch.mask), {"mean": masked_mean(y, batch.mask)}


def example(sequences, masked):
    keys = jax.random.split(jax.random.key(0), 5)
    shape = (5, sequences)
    # The first sequences have no places at all, so that shares have other weights than others.
    mask = jax.random.bernoulli(keys[0], 0.5, shape).at[:, :2].set(False) if masked else None
    batch = Batch(
        jax.random.normal(keys[1], (sequences, 3)),
        jax.random.normal(keys[2], (*shape, 3)),
        jax.random.bernoulli(keys[3], 0.2, shape),
        mask,
    )
    params = {"w": jax.random.normal(keys[4], (3,)), "b": jnp.ones(())}
    return params, batch


def gradient(of, params, batch):
    return jax.value_and_grad(of, has_aux=True)(params, devices.split_sequences(batch))


@pytest.mark.parametrize(("sequences", "masked"), [(8, False), (8, True), (6, True)])
@pytest.mark.parametrize("members", [0, 2])
def test_a_shared_loss_has_the_gradient_of_the_whole(sequences, masked, members):
    params, batch = example(sequences, masked)
    run = jax.tree_util.Partial(gradient, devices.shared_loss(loss))
    if members:
        params = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), params)
        run, alone = jax.vmap(run, (0, None)), jax.vmap(lambda p: gradient(loss, p, batch))(params)
    else:
        alone = gradient(loss, params, batch)
    mesh = jax.make_mesh((4,), (devices.AXIS,), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.set_mesh(mesh):
        program = jax.jit(run).lower(params, batch).compile()
    found = program(params, batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, alone)
    if sequences == 8:
        assert program.as_text().count(" all-reduce(") == 1  # for the gradients of all parameters
