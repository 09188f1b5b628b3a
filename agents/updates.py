"""Steps of an optimiser: one on a loss, and epochs of them over minibatches."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from rlseq.rl.devices import places
from rlseq.rl.optimisers import gradient_norm
from rlseq.types import Metrics, Params, PyTree

# (params, *inputs) -> (loss, metrics or whatever else the loss finds)
Loss = Callable[..., tuple[Array, Any]]


class GradientStep(NamedTuple):
    """The outcome of one step."""

    params: Params
    optimiser: optax.OptState
    aux: Any  # the second value of the loss
    norm: Array  # [] of the gradients


def gradient_step(
    loss: Loss,
    optimiser: optax.GradientTransformation,
    params: Params,
    state: optax.OptState,
    *inputs: Any,
) -> GradientStep:
    """One step against the gradient of `loss(params, *inputs)`."""
    gradients, aux = jax.grad(loss, has_aux=True)(params, *inputs)
    return _moved(optimiser, params, state, gradients, aux)


def gradient_step_in_parts(
    loss: Loss,
    optimiser: optax.GradientTransformation,
    params: Params,
    state: optax.OptState,
    select: Callable[[Array], PyTree],
    entries: Array,
    parts: int,
) -> GradientStep:
    """`gradient_step` on `select(entries)`, with the memory of one of its `parts` at a time.

    A loss is a mean over the places where the mask of its batch is True, so that means of the parts
    have as much weight as each has such places.
    """

    def add(total: tuple[Params, Array], part: Array) -> tuple[tuple[Params, Array], Any]:
        batch: Any = select(part)
        gradients, aux = jax.grad(loss, has_aux=True)(params, batch)
        weight = places(batch)
        sums = jax.tree.map(lambda a, g: a + weight * g, total[0], gradients)
        return (sums, total[1] + weight), (aux, weight)

    start = jax.tree.map(jnp.zeros_like, params), jnp.float32(0)
    (sums, total), (aux, weights) = lax.scan(add, start, entries.reshape(parts, -1))
    total = jnp.maximum(total, 1)
    gradients = jax.tree.map(lambda g: g / total, sums)
    aux = jax.tree.map(lambda values: (weights * values).sum() / total, aux)
    return _moved(optimiser, params, state, gradients, aux)


def _moved(
    optimiser: optax.GradientTransformation,
    params: Params,
    state: optax.OptState,
    gradients: Params,
    aux: Any,
) -> GradientStep:
    norm = gradient_norm(gradients)
    # optax's bias correction mixes dtypes, which a strict caller's JAX would refuse.
    with jax.numpy_dtype_promotion("standard"):
        changes, state = optimiser.update(gradients, state, params)
    new: Any = optax.apply_updates(params, changes)
    return GradientStep(new, state, aux, norm)


class EpochsState(NamedTuple):
    """What moves through the minibatches."""

    params: Params
    optimiser: optax.OptState
    stopped: Array  # [] bool: the policy has moved further than target_kl


def minibatch_epochs(
    loss: Loss,
    optimiser: optax.GradientTransformation,
    params: Params,
    state: optax.OptState,
    select: Callable[[Array], PyTree],
    size: int,
    key: Array,
    *,
    epochs: int,
    minibatches: int,
    parts: int = 1,
    target_kl: float = 0.0,
    undo_last: bool = False,
) -> tuple[Params, optax.OptState, Metrics]:
    """Passes over `size` entries in random minibatches of equal size.

    Args:
        loss: (params, batch) -> (loss, metrics), among them "approx_kl" where target_kl is used.
        optimiser: with its `state`, of `params`.
        params: what is moved.
        state: of the optimiser.
        select: entries int32 [size / minibatches] -> batch.
        size: divisible by minibatches.
        key: orders each epoch.
        epochs: passes.
        minibatches: of each pass.
        parts: of each minibatch, whose gradients are accumulated: less memory for the same step. A
            batch then has `reset` and `mask`.
        target_kl: once a minibatch is beyond it, the rest are left out; 0 is off.
        undo_last: the step on that minibatch is not taken either.

    Returns (params, optimiser state, metrics): means over the minibatches that were used, with
    "grad_norm" and their number, "minibatches".
    """
    keys = jax.random.split(key, epochs)
    entries = jnp.arange(size, dtype=jnp.int32)
    orders = jax.vmap(lambda k: jax.random.permutation(k, entries))(keys)
    rows = orders.reshape(epochs * minibatches, -1)

    def take(params: Params, state: optax.OptState, entries: Array) -> GradientStep:
        if parts == 1:
            return gradient_step(loss, optimiser, params, state, select(entries))
        return gradient_step_in_parts(loss, optimiser, params, state, select, entries, parts)

    body = partial(_minibatch, take, target_kl, undo_last)
    start = EpochsState(params, state, jnp.zeros((), bool))
    end, (metrics, used) = lax.scan(body, start, rows)
    weight = used / used.sum()
    metrics = jax.tree.map(lambda m: jnp.where(used > 0, m * weight, 0).sum(), metrics)
    return end.params, end.optimiser, metrics | {"minibatches": used.sum()}


def _minibatch(
    take: Callable[[Params, optax.OptState, Array], GradientStep],
    target_kl: float,
    undo_last: bool,
    state: EpochsState,
    entries: Array,
) -> tuple[EpochsState, tuple[Metrics, Array]]:
    def step() -> tuple[EpochsState, Metrics]:
        new = take(state.params, state.optimiser, entries)
        stopped = state.stopped
        moved: Any = new.params, new.optimiser
        if target_kl > 0:
            stopped = stopped | (new.aux["approx_kl"] > target_kl)
        if target_kl > 0 and undo_last:
            before = state.params, state.optimiser
            moved = jax.tree.map(partial(jnp.where, stopped), before, moved)
        return EpochsState(moved[0], moved[1], stopped), new.aux | {"grad_norm": new.norm}

    if target_kl <= 0:
        new, metrics = step()
        return new, (metrics, jnp.float32(1))
    shapes = jax.eval_shape(step)[1]

    def skip() -> tuple[EpochsState, Metrics]:
        return state, jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    new, metrics = lax.cond(state.stopped, skip, step)
    return new, (metrics, 1 - state.stopped.astype(jnp.float32))
