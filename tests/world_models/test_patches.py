"""The loss in the layout of patches: the gradients of that of images, and none of its moves."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.scipy.special import xlogy

from rlseq.types import Sequences
from rlseq.world_models.coders import from_patches, to_patches
from rlseq.world_models.losses import bernoulli
from tests.draws import Draws
from tests.world_models.small import ACTIONS, make

FRAME = spaces.Box(0, 255, (24, 32, 3), jnp.uint8)
PATCH = 8
SHAPE = (5, 2)


def model_of_frames():
    return make.__wrapped__(space=FRAME, encoder="patch", patch=PATCH)


def frames():
    draws = Draws(0)
    return Sequences(
        jnp.asarray(draws.rng.integers(0, 256, (*SHAPE, *FRAME.shape), "uint8")),
        jnp.asarray(draws.rng.integers(0, ACTIONS, SHAPE, "int32")),
        jnp.asarray(draws.normal(*SHAPE)),
        jnp.asarray(draws.happens(0.3, *SHAPE)),
        jnp.asarray(draws.happens(0.3, *SHAPE)),
    )


def test_patches_go_row_by_row_and_back():
    images = np.asarray(frames().obs)
    patches = np.asarray(to_patches(PATCH, jnp.asarray(images)))
    assert patches.shape == (*SHAPE, 12, 192)
    for row, column in np.ndindex(3, 4):
        part = images[:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        np.testing.assert_array_equal(patches[:, :, 4 * row + column], part.reshape(*SHAPE, -1))
    np.testing.assert_array_equal(from_patches(PATCH, FRAME.shape, patches), images)


def in_images(logits, x):
    """KL(x, sigmoid(logits)) of whole images, number by number."""
    logits, x = (from_patches(PATCH, FRAME.shape, leaf) for leaf in (logits, x))
    dark = jnp.maximum(1 - x, 0)  # 255 / 255 may be above 1
    return bernoulli(logits, x) + xlogy(x, x) + xlogy(dark, dark)


def gradients(model, params, batch):
    (loss, _), found = jax.value_and_grad(model.loss, has_aux=True)(
        params, batch, jax.random.key(1)
    )
    return loss, found


def test_gradients_are_bitwise_those_of_whole_images_with_the_entropy():
    batch = frames()
    model, other = model_of_frames(), model_of_frames()
    other.autoencoder = other.autoencoder._replace(error=in_images)
    params = jax.jit(model.init)(jax.random.key(0))
    loss, ours = jax.jit(partial(gradients, model))(params, batch)
    less, theirs = jax.jit(partial(gradients, other))(params, batch)
    x = np.asarray(batch.obs, np.float64) / 255
    least = -(xlogy(x, x) + xlogy(1 - x, 1 - x)).reshape(*SHAPE, -1).sum(-1).mean()
    np.testing.assert_allclose(loss - less, least, rtol=1e-3)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(a, b)
    for part in ("encoder", "decoder"):
        assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(ours["params"][part]))


def equations(jaxpr):
    """Every equation of a program, of the programs inside it too."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: isinstance(x, ClosedJaxpr | Jaxpr)
        ):
            if isinstance(inner, ClosedJaxpr | Jaxpr):
                yield from equations(getattr(inner, "jaxpr", inner))


def test_no_floats_of_images_are_moved_nor_logarithms_taken():
    model, batch = model_of_frames(), frames()
    params = jax.eval_shape(model.init, jax.random.key(0))
    traced = jax.make_jaxpr(partial(gradients, model))(params, batch)
    size, found = batch.obs.size, set()
    for equation in equations(traced.jaxpr):
        variable = equation.outvars[0]
        if getattr(variable.aval, "size", 0) == size:
            found.add((equation.primitive.name, str(variable.aval.dtype)))
    assert ("transpose", "uint8") in found
    assert not {("transpose", "float32"), ("log", "float32")} & found


@pytest.mark.parametrize("logits", [-3.0, 0.0, 2.5])
def test_the_cross_entropy_is_least_where_both_agree(logits):
    p = jax.nn.sigmoid(logits)
    entropy = -(xlogy(p, p) + xlogy(1 - p, 1 - p))
    np.testing.assert_allclose(bernoulli(jnp.asarray(logits), p), entropy, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(bernoulli)(logits, p), 0, atol=1e-6)
