"""Does the state stay in its range beyond the training length? (Chen et al. 2410.07145)

Recurrent models can learn a state that fits their training length and never learn to forget. Past
that length the state then grows out of its range, and outputs with it.
"""

import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from rlseq.analysis.memory.flat import EMPTY, Layout, row
from rlseq.errors import InputError
from rlseq.types import CoreFns, Params

# Ours: untrained GRU, LSTM and S5 (64 features, noise, 1000 steps after 128) stay below 1.2.
GROWTH = 2.0


class StateNorms(NamedTuple):
    """Root mean square of the state over time, and how far it leaves its trained range."""

    norms: np.ndarray  # [T], mean over the batch
    growth: float  # the largest norm past the training length over the largest within
    collapsed: bool  # growth is above the limit, or a norm is not finite


class StateCollapse(UserWarning):
    """The state grows past the training length."""


def state_norms(fns: CoreFns, params: Params, x: Array) -> np.ndarray:
    """The root mean square of the carry after each step, [T], as the mean over the batch.

    Args:
        fns: a core, from `rlseq.functional`.
        params: its parameters.
        x: [T, B, D], one episode per row, without resets.

    Zeros for a core without a state. Entries that mark an empty state count as zero.
    """
    batch = x.shape[1]
    if not jax.tree.leaves(fns.init_carry(1)):
        return np.zeros(len(x))
    layout = Layout(row(fns.init_carry(batch), 0))
    never = jnp.zeros(batch, bool)

    def body(carry, x_t):
        carry, _ = fns.step(params, carry, x_t, never)
        return carry, jax.vmap(lambda one: _rms(layout, one))(carry).mean()

    return np.asarray(jax.jit(lambda x: lax.scan(body, fns.init_carry(batch), x)[1])(x))


def check_collapse(
    fns: CoreFns, params: Params, x: Array, trained: int, limit: float = GROWTH
) -> StateNorms:
    """Run past the training length and warn (StateCollapse) where the state leaves its range.

    Args:
        fns, params: as in `state_norms`.
        x: [T, B, D] with T above `trained`; inputs like those of training.
        trained: the length of the sequences in training.
        limit: the growth that counts as collapse.

    Raises InputError unless 1 <= trained < T.
    """
    if not 1 <= trained < len(x):
        raise InputError(f"x has to go past the trained length {trained}, its length is {len(x)}")
    norms = state_norms(fns, params, x)
    within, past = norms[:trained].max(), norms[trained:].max()
    growth = float(past / within) if within > 0 else 1.0
    collapsed = bool(not np.isfinite(norms).all() or growth > limit)
    if collapsed:
        warnings.warn(
            f"state collapse: past the trained length {trained} the state grows {growth:.3g}-fold; "
            "train on longer sequences, or with a smaller state",
            StateCollapse,
            stacklevel=2,
        )
    return StateNorms(norms, growth, collapsed)


def _rms(layout: Layout, one: Array) -> Array:
    vector = layout.flatten(one)
    if not vector.size:
        return jnp.zeros(())
    return jnp.sqrt(jnp.square(jnp.where(jnp.abs(vector) > EMPTY, 0, vector)).mean())
