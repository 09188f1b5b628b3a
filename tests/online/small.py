"""A loss over a sequence with resets, its gradient by backpropagation, and by an estimator."""

from functools import partial

import jax
import jax.numpy as jnp

from tests.draws import Draws

LENGTH, BATCH, WIDTH, FEATURES = 12, 3, 5, 4


def drawn(dtype, seed=0, reset_rate=0.2):
    """(x [T, B, WIDTH], reset [T, B], target [T, B, FEATURES])."""
    draws = Draws(seed)
    x = draws.normal(LENGTH, BATCH, WIDTH, dtype=dtype)
    reset = draws.happens(reset_rate, LENGTH, BATCH)
    return x, reset, draws.normal(LENGTH, BATCH, FEATURES, dtype=dtype)


def loss(y, target):
    """Of one step; not linear, so that its gradient depends on y, which may be half precision."""
    y = y.astype(target.dtype)
    return 0.5 * ((y - target) ** 2).sum() + (y[..., 0] * target[..., 1]).sum()


def by_backpropagation(module, params, x, reset, target):
    """The gradient of the sum of losses, through the whole sequence, and the outputs."""

    def total(params):
        _, y = module.apply(params, module.init_carry(x.shape[1]), x, reset)
        return loss(y, target), y

    return jax.grad(total, has_aux=True)(params)


@partial(jax.jit, static_argnums=0)
def both(estimator, params, *data):
    """(gradient, outputs) of backpropagation and of an estimator."""
    exact = by_backpropagation(estimator.module, params, *data)
    return exact, by_estimator(estimator, params, *data)


def by_estimator(estimator, params, x, reset, target, key=None):
    """The sum of what the pullback of each step gives, and the outputs."""

    def step(state, inputs):
        trace, total, key = state
        x, reset, target = inputs
        key, mine = (None, None) if key is None else jax.random.split(key)
        trace, y, pullback = estimator.step(params, trace, x, reset, mine)
        d_params, _ = pullback(jax.grad(loss)(y, target))
        return (trace, jax.tree.map(jnp.add, total, d_params), key), y

    trace = estimator.init(params, x.shape[1])
    start = trace, jax.tree.map(jnp.zeros_like, params), key
    (_, total, _), y = jax.lax.scan(step, start, (x, reset, target))
    return total, y


def init(module, dtype, seed=0):
    """Parameters, none of them special."""
    x, reset, _ = drawn(dtype)
    make = jax.jit(partial(module.init, jax.random.key(seed)))
    params = make(module.init_carry(BATCH), x, reset)

    def moved(p):
        return p + 0.1 * jnp.sin(jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape)

    return jax.tree.map(moved, params)
