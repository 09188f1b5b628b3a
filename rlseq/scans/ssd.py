"""Linear attention whose state decays by one number a head: loops over chunks of matmuls.

S[t] = e^{a[t]} S[t-1] + sum_r k[t,r] v[t,r]^T, y[t,r] = S[t]^T q[t,r], restarted where reset.
Inside a chunk the steps see one another through a masked matrix of decays, and the state crosses
chunks: the chunkwise form of Mamba-2 (Dao and Gu 2405.21060, section 6). R rows a step are the
multi-input, multi-output form of Mamba-3 (2603.15569). Episodes are separated by counting resets,
never by a huge negative number inside a sum. The backward pass computes each chunk again: only the
states between chunks are kept.
"""

from functools import partial

import jax.numpy as jnp
from jax import Array, lax

from rlseq.scans.choice import choose
from rlseq.scans.chunks import decays, episode_totals, same_episode, scan_chunks
from rlseq.scans.faults import contain, mark
from rlseq.scans.reading import read

METHODS = ("auto", "sequential", "chunked")


def ssd_scan(
    q: Array,
    k: Array,
    v: Array,
    log_decay: Array,
    carry: Array,
    reset: Array,
    *,
    method: str = "auto",
    exclusive: bool = False,
) -> tuple[Array, Array]:
    """All outputs y[t] = S[t]^T q[t] from S[-1] = carry; S[t-1] is 0 where reset[t].

    Args:
        q, k: [T R, B, G, N]; G is H, or 1 where all heads share them. The R rows of a step follow
            one another: they write into one state and read the same one.
        v: [T R, B, H, P].
        log_decay: [T, B, H], a <= 0.
        carry: [B, H, N, P].
        reset: [T, B] bool.
        method: "sequential" is one loop over the steps, "chunked" one over chunks of matmuls.
        exclusive: read e^{a[t]} S[t-1], the state before step t writes into it.

    Returns:
        The last state [B, H, N, P] and y [T R, B, H, P].

    Raises:
        ValueError: shapes or dtypes that do not fit together.
        InputError: an unknown method.
    """
    _check(q, k, v, log_decay, carry, reset)
    length = reset.shape[0]
    method = choose("ssd", method, METHODS, length, carry.size)
    if not length:
        return carry, v
    if method == "sequential":
        loop = partial(_loop, exclusive)
        return scan_chunks(loop, carry, (q, k, v, log_decay, reset), length)
    inputs, carry, reached = contain((q, k, v, log_decay), carry, reset)
    carry, y = scan_chunks(partial(_chunk, exclusive), carry, (*inputs, reset), length)
    return mark(carry, y, reached)


def ssd_step(
    q: Array,
    k: Array,
    v: Array,
    log_decay: Array,
    carry: Array,
    reset: Array,
    *,
    exclusive: bool = False,
) -> tuple[Array, Array]:
    """One step: q, k [R, B, G, N], v [R, B, H, P], log_decay [B, H], reset [B] -> (carry, y)."""
    decayed = jnp.exp(log_decay)[..., None, None] * jnp.where(_trail(reset, carry), 0, carry)
    outer = k[..., None] * jnp.expand_dims(v, 3)  # [R, B, H, N, P]
    state = decayed + (outer[0] if outer.shape[0] == 1 else outer.sum(0))
    # A query of its own for each head: with one for all, XLA's product takes twice as long.
    q = jnp.broadcast_to(q, (*v.shape[:-1], q.shape[-1]))
    shown = decayed if exclusive else state
    return state, read(q, jnp.broadcast_to(shown, (len(q), *shown.shape)))


def _loop(exclusive: bool, carry: Array, inputs: tuple) -> tuple[Array, Array]:
    q, k, v, log_decay, reset = inputs

    def body(state, at):
        q, k, v, a, r = at
        return ssd_step(q, k, v, a, state, r, exclusive=exclusive)

    q, k, v_rows = (x.reshape(reset.shape[0], -1, *x.shape[1:]) for x in (q, k, v))
    carry, y = lax.scan(body, carry, (q, k, v_rows, log_decay, reset))
    return carry, y.reshape(v.shape)


def _chunk(exclusive: bool, carry: Array, inputs: tuple) -> tuple[Array, Array]:
    """One chunk; `total` sums the log-decays and `episode` counts the resets up to each step.

    Each head's steps lie side by side, [B, H, Q, ...]: turned once here, and not in every product.
    """
    q, k, v, log_decay, reset = inputs
    total, episode = episode_totals(log_decay, reset)
    q, k, v = (jnp.moveaxis(x, 0, 2) for x in (q, k, v))
    rows = v.shape[2] // total.shape[0]
    y = _weights(q, k, total, episode, exclusive) @ v
    total, episode = jnp.moveaxis(total, 0, 2)[..., None], episode.T[:, None, :, None]
    total, episode = (jnp.repeat(x, rows, axis=2) if rows > 1 else x for x in (total, episode))
    first, last = episode == 0, episode == episode[:, :, -1:]
    y = y + jnp.where(first, q * jnp.exp(total), 0) @ carry
    end = total[:, :, -1:]
    leaving = jnp.where(last, k * jnp.exp(jnp.where(last, end - total, 0)), 0)
    kept = jnp.where(first[:, :, -1:], carry, 0) * jnp.exp(end)
    return kept + jnp.swapaxes(leaving, 2, 3) @ v, jnp.moveaxis(y, 2, 0)


def _weights(q: Array, k: Array, total: Array, episode: Array, exclusive: bool) -> Array:
    """How much row i reads of what row j wrote, [B, H, rows, rows]."""
    decay = decays(total, same_episode(episode, before=exclusive))
    rows = q.shape[2] // total.shape[0]
    if rows > 1:
        decay = jnp.repeat(jnp.repeat(decay, rows, axis=2), rows, axis=3)
    return (q @ jnp.swapaxes(k, 2, 3)) * decay


def _trail(reset: Array, like: Array) -> Array:
    return reset.reshape(reset.shape + (1,) * (like.ndim - reset.ndim))


def _check(q: Array, k: Array, v: Array, a: Array, carry: Array, reset: Array) -> None:
    length, batch, heads = a.shape
    if reset.dtype != jnp.bool_ or reset.shape != (length, batch):
        raise ValueError(f"reset must be bool {a.shape[:2]}, got {reset.dtype} {reset.shape}")
    if carry.shape != (batch, heads, q.shape[-1], v.shape[-1]):
        raise ValueError(
            f"carry must be {(batch, heads, q.shape[-1], v.shape[-1])}, got {carry.shape}"
        )
    if v.shape[1:3] != (batch, heads) or v.shape[0] % max(length, 1):
        raise ValueError(f"v must be [{length} R, {batch}, {heads}, P], got {v.shape}")
    if q.shape != k.shape or q.shape[:2] != v.shape[:2] or q.shape[2] not in (1, heads):
        raise ValueError(f"q and k must be [T R, B, H or 1, N], got {q.shape} and {k.shape}")
    if len({x.dtype for x in (q, k, v, a, carry)}) > 1:
        raise ValueError(f"dtypes differ: {[str(x.dtype) for x in (q, k, v, a, carry)]}")
