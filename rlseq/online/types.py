"""What every estimator shares: rows of a batch side by side, a step and its pullback."""

from functools import partial
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.types import Carry, Params, PyTree


class Pullback(Protocol):
    """Takes the gradient of a loss by y [B, features]; see `Estimator.step`."""

    def __call__(self, d_y: Array, *, rows: bool = False) -> tuple[Params, Array | None]: ...


class Trace(NamedTuple):
    """What is carried from step to step, all leaves [B, ...]."""

    carry: Carry  # the core's
    influence: PyTree  # of the parameters on it, in the estimator's own form


class Estimator:
    """Steps of a core, or of an `Encoded` one, with gradients through time; of one row here.

    A subclass has `nothing`, `advance` and `through`.
    """

    name: str

    def __init__(self, module: nn.Module):
        self.module: Any = module  # flax gives the results of `apply` no types

    def nothing(self, params: Params) -> PyTree:
        """The influence on the state of a fresh episode."""
        raise NotImplementedError

    def advance(
        self, params: Params, row: Trace, x: Array, reset: Array, key: Array | None
    ) -> PyTree:
        """The influence on the state after x; `row.influence` is clear where reset."""
        raise NotImplementedError

    def through(self, gradient: Params, influence: PyTree, d_carry: Carry) -> Params:
        """The gradient by the parameters in this step plus that by way of the carry before it."""
        raise NotImplementedError

    def init(self, params: Params, batch: int) -> Trace:
        """The trace of `batch` fresh episodes."""
        shapes = jax.eval_shape(self.nothing, params)
        influence = jax.tree.map(lambda s: jnp.zeros((batch, *s.shape), s.dtype), shapes)
        return Trace(self.module.init_carry(batch), influence)

    def step(
        self, params: Params, trace: Trace, x: Array, reset: Array, key: Array | None = None
    ) -> tuple[Trace, Array, Pullback]:
        """One step: (trace, y [B, features], pullback).

        The pullback takes the gradient of a loss by y and returns that by the parameters, summed
        over the batch, and that by x in this step alone (None if x are no floats); what a loss of
        this step owes to earlier inputs has gone into the parameters' part. Sum it over steps. With
        `rows` the parameters' part is not summed: leaves [B, ...], each row's own.

        Args:
            params: may change between steps; what older ones left in the trace stays.
            trace: from `init` or the step before.
            x: [B, ...].
            reset: bool [B], where carry and influence are cleared before x is read.
            key: of estimators that draw; the others ignore it.
        """
        trace = trace._replace(influence=cleared(trace.influence, reset))
        keys = None if key is None else jax.random.split(key, reset.shape[0])
        carry, y = jax.vmap(partial(self.row, params))(trace.carry, x, reset)
        influence = jax.vmap(partial(self.advance, params))(trace, x, reset, keys)
        return Trace(carry, influence), y, partial(self._pull, params, trace, x, reset)

    def row(self, params: Params, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """One step of one row, without the batch axis."""
        carry = jax.tree.map(lambda leaf: leaf[None], carry)
        carry, y = self.module.apply(params, carry, x[None], reset[None], method="step")
        return jax.tree.map(lambda leaf: leaf[0], carry), y[0]

    def _pull(
        self,
        params: Params,
        trace: Trace,
        x: Array,
        reset: Array,
        d_y: Array,
        *,
        rows: bool = False,
    ) -> tuple[Params, Array | None]:
        d_params, d_x = jax.vmap(partial(self._pull_row, params))(trace, x, reset, d_y)
        return d_params if rows else jax.tree.map(lambda leaf: leaf.sum(0), d_params), d_x

    def _pull_row(
        self, params: Params, row: Trace, x: Array, reset: Array, d_y: Array
    ) -> tuple[Params, Array | None]:
        def output(params: Params, carry: Carry, x: Array) -> Array:
            return self.row(params, carry, x, reset)[1]

        if jnp.issubdtype(x.dtype, jnp.floating):
            _, back = jax.vjp(output, params, row.carry, x)
            d_params, d_carry, d_x = back(d_y)
        else:
            _, back = jax.vjp(lambda params, carry: output(params, carry, x), params, row.carry)
            (d_params, d_carry), d_x = back(d_y), None
        return self.through(d_params, row.influence, d_carry), d_x


class Truncated(Estimator):
    """One step alone: the carry before it counts as an input. Cheapest; blind to earlier causes."""

    name = "truncated"

    def nothing(self, params: Params) -> PyTree:
        return ()

    def advance(
        self, params: Params, row: Trace, x: Array, reset: Array, key: Array | None
    ) -> PyTree:
        return ()

    def through(self, gradient: Params, influence: PyTree, d_carry: Carry) -> Params:
        return gradient


def cleared(tree: PyTree, reset: Array) -> PyTree:
    """Zeros where reset [B], else the leaves [B, ...]; stops NaN and inf too."""

    def clear(leaf: Array) -> Array:
        return jnp.where(jnp.expand_dims(reset, range(1, leaf.ndim)), 0, leaf)

    return jax.tree.map(clear, tree)
