"""RTRL and SnAp-1: what each parameter does to the units it feeds, carried forward in time.

With h' = F(h, p, x) the influence S = dh/dp becomes S' = dF/dh S + dF/dp. Where no unit sees
another one, dF/dh has one small block a unit, and S keeps for each parameter of the recurrence the
units it feeds: real-time recurrent learning (Williams and Zipser 1989) at the cost of the forward
pass. SnAp-1 (Menick et al. 2006.07232) keeps that form where units do see each other.
Derivatives come from the core's own step: no core's equations are written here.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.cores.recurrence import Recurrence
from rlseq.online.layout import Flat, Layout, Parts
from rlseq.online.types import Estimator, Trace
from rlseq.types import Carry, Params, PyTree

einsum = partial(jnp.einsum, precision=lax.Precision.HIGHEST)  # exact is exact on any device


class RTRL(Estimator):
    """Exact for one layer with a diagonal recurrence and all that comes before and after it.

    The influence of a parameter of the recurrence is [K, R, U], that of one before it [K, U, size],
    the whole Jacobian: a wide encoder is expensive.
    """

    name = "rtrl"

    def __init__(self, module: nn.Module, recurrence: Recurrence):
        super().__init__(module)
        self.layout = Layout(module, recurrence)

    def nothing(self, params: Params) -> PyTree:
        """{path: influence} of the parameters that have one, all zero."""
        layout, parts = self.layout, self.layout.split(params)
        k, u = layout.numbers, layout.units
        own = {path: jnp.zeros((k, p.size // u, u), p.dtype) for path, p in parts.own.items()}
        return own | {path: jnp.zeros((k, u, p.size), p.dtype) for path, p in parts.before.items()}

    def advance(
        self, params: Params, row: Trace, x: Array, reset: Array, key: Array | None
    ) -> PyTree:
        parts, layout = self.layout.split(params), self.layout

        def state(own: Flat, before: Flat, carry: Carry) -> Array:
            joined = layout.join((own, before, parts.after))
            return layout.state(self.row(joined, carry, x, reset)[0])

        now, back = jax.vjp(state, parts.own, parts.before, row.carry)
        d_own, jacobian = self._of_units(back, now.dtype)
        influence = {
            path: einsum("klu,lru->kru", jacobian, row.influence[path])
            + jax.vmap(partial(layout.by_unit, path))(d_own[path])
            for path in parts.own
        }
        if parts.before:
            for path, d in self._of_numbers(back, now.dtype)[0].items():
                d = d.reshape(*d.shape[:2], -1)
                influence[path] = einsum("klu,lup->kup", jacobian, row.influence[path]) + d
        return influence

    def through(self, gradient: Params, influence: PyTree, d_carry: Carry) -> Params:
        layout, parts = self.layout, self.layout.split(gradient)
        d_state = layout.state(d_carry)
        own = {
            path: g + layout.from_unit(path, einsum("ku,kru->ru", d_state, influence[path]), g)
            for path, g in parts.own.items()
        }
        before = {
            path: g + einsum("ku,kup->p", d_state, influence[path]).reshape(g.shape)
            for path, g in parts.before.items()
        }
        return layout.join(Parts(own, before, parts.after))

    def _of_units(self, back: Callable, dtype: jnp.dtype) -> tuple[Flat, Array]:
        """Derivatives of the state by its own parameters, {path: [K, ...]}, and by itself, within
        units, [K, K, U]. The sum over all units has each one's derivative by what feeds it."""
        k, u = self.layout.numbers, self.layout.units
        each = jnp.broadcast_to(jnp.eye(k, dtype=dtype)[:, :, None], (k, k, u))
        d_own, _, d_carry = jax.vmap(back)(each)
        return d_own, jax.vmap(self.layout.state)(d_carry)

    def _of_numbers(self, back: Callable, dtype: jnp.dtype) -> tuple[Flat, Carry]:
        """Derivatives of each number of the state, [K, U, ...], by what comes before the layer and
        by the carry."""
        k, u = self.layout.numbers, self.layout.units
        _, *rows = jax.vmap(back)(jnp.eye(k * u, dtype=dtype).reshape(k * u, k, u))
        d_before, d_carry = jax.tree.map(lambda leaf: leaf.reshape(k, u, *leaf.shape[1:]), rows)
        return d_before, d_carry


class SnAp1(RTRL):
    """Influence on the units that a parameter feeds at once, and no others: for cells whose units
    see each other. A step takes the whole Jacobian of the state, a product a number of it.
    """

    name = "snap1"

    def _of_units(self, back: Callable, dtype: jnp.dtype) -> tuple[Flat, Array]:
        """As of RTRL; what passes from unit to unit is left out."""
        d_own, _ = super()._of_units(back, dtype)
        _, d_carry = self._of_numbers(back, dtype)
        jacobian = jax.vmap(jax.vmap(self.layout.state))(d_carry)  # [K, U, K, U]
        return d_own, jnp.diagonal(jacobian, axis1=1, axis2=3)
