"""The sequential scan of any cell, and its fast form for cells with one recurrent matrix."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.types import Carry, PyTree


@dataclass(frozen=True)
class Gates:
    """All that a cell with one recurrent matrix does but its matmul, with its own gradient.

    Made once, at the top of a module: programs are cached by it. `additive` makes it by autodiff.

    Attributes:
        forward: (others, x_t, product, h[t-1]) -> ((others, h[t]), kept), where product is
            h[t-1] @ weight + bias and `kept` is what the gradient needs, a pytree of [B, ...].
        backward: (kept, gradient of (others, h[t])) -> gradients of (others, x_t, h[t-1]), the last
            without the part that comes by way of the product.
        by_product: (kept, gradient of x_t) -> gradient of the product. It runs over all steps at
            once as well, kept and gradient [T, B, ...], so it may not mix rows.
    """

    forward: Callable[[PyTree, Array, Array, Array], tuple[tuple[PyTree, Array], PyTree]]
    backward: Callable[[PyTree, tuple[PyTree, Array]], tuple[PyTree, Array, Array]]
    by_product: Callable[[PyTree, Array], Array]

    def __call__(self, others: PyTree, x: Array, product: Array, h: Array) -> tuple[PyTree, Array]:
        """One step: (others, h)."""
        return self.forward(others, x, product, h)[0]


def additive(step: Callable[[PyTree, Array, Array], tuple[PyTree, Array]]) -> Gates:
    """Gates by autodiff of `step(others, x_t + product, h[t-1]) -> (others, h[t])`."""

    def forward(others, x, product, h):
        return jax.vjp(step, others, x + product, h)

    return Gates(forward, lambda kept, g: kept(g), same)


def same(kept: PyTree, d_x: Array) -> Array:
    """`by_product` of gates that see x_t + product only."""
    return d_x


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
    gates: Gates, weight: Array, bias: Array, others: PyTree, h: Array, x: Array, reset: Array
) -> tuple[tuple[PyTree, Array], Array]:
    """Run a cell whose only parameters inside the loop are one recurrent matrix and its bias.

    Autodiff of a loop adds an outer product to the matrix's gradient at every step. Here the
    backward loop emits the gradients of `x` and one large matmul after it makes the matrix's
    gradient, which reads the weights once per step and writes none.

    Args:
        gates: elementwise part of the cell.
        weight: [N, G], multiplies h[t-1]; or one block a head, [H, N / H, G / N, N / H].
        bias: [G], added to the product.
        others: pytree of [B, ...], state beside h (an LSTM's c); zero in a fresh episode.
        h: [B, N], zero in a fresh episode.
        x: [T, B, ...], the projected inputs.
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
    return _recurrent_forward(gates, weight, bias, others, h, x, reset)[0]


def _recurrent_forward(gates, weight, bias, others, h, x, reset):
    def body(carry, inputs):
        x_t, reset_t = inputs
        others, h = clear(carry, jax.tree.map(jnp.zeros_like, carry), reset_t)
        carry, kept = gates.forward(others, x_t, recurrent_product(h, weight, bias), h)
        return carry, (carry, kept)

    out, kept = lax.scan(body, (others, h), (x, reset))[1]
    return out, (weight, others, h, reset, out[1], kept)


def _recurrent_backward(gates, residual, g):
    weight, others, h, reset, hs, kept = residual
    turned = _turned(weight)  # here, as XLA would copy it at every step

    def body(adjoint, inputs):
        kept, reset_t, g = inputs
        d_others, d_x, d_h = gates.backward(kept, jax.tree.map(jnp.add, adjoint, g))
        d_h += _through(gates.by_product(kept, d_x), turned)
        adjoint = (d_others, d_h)
        return clear(adjoint, jax.tree.map(jnp.zeros_like, adjoint), reset_t), d_x

    zero = jax.tree.map(jnp.zeros_like, (others, h))
    (d_others, d_h), d_x = lax.scan(body, zero, (kept, reset, g), reverse=True)
    d_product = gates.by_product(kept, d_x)
    entering = clear(_previous(h, hs), jnp.zeros_like(hs), reset)
    d_weight = _outer(entering, d_product, weight)
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


def _turned(weight: Array) -> Array:
    """The matrix of the way back: [G, N], or [H, G / N, N / H, N / H] with the blocks turned."""
    return weight.T if weight.ndim == 2 else weight.transpose(0, 2, 3, 1)


def _through(d_product: Array, turned: Array) -> Array:
    """The gradient [B, N] of h by way of the product."""
    if turned.ndim == 2:
        return d_product @ turned
    heads, gates, size, _ = turned.shape
    blocks = d_product.reshape(-1, gates, heads, size)
    return jnp.einsum("bghj,hgji->bhi", blocks, turned).reshape(-1, heads * size)


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
