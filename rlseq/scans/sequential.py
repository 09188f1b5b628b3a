"""E5, the sequential scan of any cell, and its fast form for cells with one recurrent matrix."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.types import Carry, PyTree

# (others, x_t, h[t-1] @ weight + bias, h[t-1]) -> (others, h): all that a cell does but its matmul
Gates = Callable[[PyTree, PyTree, Array, Array], tuple[PyTree, Array]]


def clear(carry: Carry, initial: Carry, reset: Array) -> Carry:
    """Where reset [B] is True the initial carry, else the carry; stops NaN and inf too."""

    def pick(old: Array, fresh: Array) -> Array:
        return jnp.where(reset.reshape(reset.shape + (1,) * (old.ndim - reset.ndim)), fresh, old)

    return jax.tree.map(pick, carry, initial)


def cell_scan(
    cell: Callable[[Carry, Any], tuple[Carry, Any]],
    carry: Carry,
    initial: Carry,
    x: PyTree,
    reset: Array,
) -> tuple[Carry, PyTree]:
    """Run `cell(carry, x_t)` over x [T, B, ...]; the carry becomes `initial` where reset [T, B]."""

    def body(carry, inputs):
        x_t, reset_t = inputs
        return cell(clear(carry, initial, reset_t), x_t)

    return lax.scan(body, carry, (x, reset))


def recurrent_scan(
    gates: Gates, weight: Array, bias: Array, others: PyTree, h: Array, x: PyTree, reset: Array
) -> tuple[tuple[PyTree, Array], Array]:
    """Run a cell whose only parameters inside the loop are one recurrent matrix and its bias.

    Autodiff of a loop adds an outer product to the matrix's gradient at every step. Here the
    backward loop emits the gradients of `h @ weight` and one large matmul after it makes the
    matrix's gradient, which reads the weights once per step and writes none.

    Args:
        gates: elementwise part of the cell; must be a module-level function.
        weight: [N, G], multiplies h[t-1]; or one block a head, [H, N / H, G / N, N / H].
        bias: [G], added to the product.
        others: pytree of [B, ...], state beside h (an LSTM's c); zero in a fresh episode.
        h: [B, N], zero in a fresh episode.
        x: pytree of [T, B, ...], the projected inputs.
        reset: [T, B] bool.

    Returns:
        ((others, h) after the last step, h of all steps [T, B, N]).
    """
    out: Any = _recurrent(gates, weight, bias, others, h, x, reset)
    states, hs = out
    if not hs.shape[0]:
        return (others, h), hs
    return (jax.tree.map(lambda s: s[-1], states), hs[-1]), hs


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recurrent(gates, weight, bias, others, h, x, reset):
    def body(carry, inputs):
        x_t, reset_t = inputs
        others, h = clear(carry, jax.tree.map(jnp.zeros_like, carry), reset_t)
        others, h = gates(others, x_t, recurrent_product(h, weight, bias), h)
        return (others, h), (others, h)

    return lax.scan(body, (others, h), (x, reset))[1]


def _recurrent_forward(gates, weight, bias, others, h, x, reset):
    out: Any = _recurrent(gates, weight, bias, others, h, x, reset)
    states, hs = out
    return (states, hs), (weight, bias, others, h, x, reset, states, hs)


def _recurrent_backward(gates, residual, g):
    weight, bias, others, h, x, reset, states, hs = residual
    g_states, g_hs = g
    entering = jax.tree.map(_previous, (others, h), (states, hs))
    entering = clear(entering, jax.tree.map(jnp.zeros_like, entering), reset)
    # All of the loop's own products at once: the backward loop then has one matmul a step.
    products = recurrent_product(entering[1], weight, bias)

    def body(adjoint, inputs):
        (others, h), x_t, product, reset_t, g_others, g_h = inputs
        _, vjp = jax.vjp(gates, others, x_t, product, h)
        adjoint = jax.tree.map(jnp.add, adjoint, (g_others, g_h))
        d_others, d_x, d_product, d_h = vjp(adjoint)
        adjoint = (d_others, d_h + _transposed(d_product, weight))
        adjoint = clear(adjoint, jax.tree.map(jnp.zeros_like, adjoint), reset_t)
        return adjoint, (d_x, d_product)

    zero = jax.tree.map(jnp.zeros_like, (others, h))
    inputs = (entering, x, products, reset, g_states, g_hs)
    (d_others, d_h), (d_x, d_product) = lax.scan(body, zero, inputs, reverse=True)
    d_weight = _outer(entering[1], d_product, weight)
    return d_weight, d_product.sum((0, 1)), d_others, d_h, d_x, None


_recurrent.defvjp(_recurrent_forward, _recurrent_backward)


def recurrent_product(h: Array, weight: Array, bias: Array) -> Array:
    """h @ weight + bias [..., G] for h [..., N]; each head of a block form sees its own h only."""
    if weight.ndim == 2:
        product = h @ weight
    else:
        blocks = h.reshape(*h.shape[:-1], *weight.shape[:2])
        product = jnp.einsum("...hi,higj->...ghj", blocks, weight)
        product = product.reshape(*h.shape[:-1], bias.shape[0])
    return product + jnp.broadcast_to(bias, product.shape)


def _transposed(d_product: Array, weight: Array) -> Array:
    if weight.ndim == 2:
        return d_product @ weight.T
    heads, size, gates, _ = weight.shape
    blocks = d_product.reshape(-1, gates, heads, size)
    return jnp.einsum("bghj,higj->bhi", blocks, weight).reshape(-1, heads * size)


def _outer(h: Array, d_product: Array, weight: Array) -> Array:
    """The gradient of the weight from all steps at once."""
    if weight.ndim == 2:
        flat = (-1, weight.shape[0]), (-1, weight.shape[1])
        return h.reshape(flat[0]).T @ d_product.reshape(flat[1])
    heads, size, gates, _ = weight.shape
    d_product = d_product.reshape(-1, gates, heads, size)
    return jnp.einsum("nhi,nghj->higj", h.reshape(-1, heads, size), d_product)


def _previous(first: Array, states: Array) -> Array:
    return jnp.concatenate([first[None], states[:-1]])
