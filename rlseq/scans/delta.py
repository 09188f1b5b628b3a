"""The gated delta rule: a matrix state in which a key's old value is replaced by the new one.

S[t] = e^{g[t]} S[t-1], then S[t] += k[t] (beta[t] (v[t] - S[t]^T k[t]))^T, and y[t] = S[t]^T q[t],
restarted where reset (Yang et al. 2412.06464, equation 10). Inside a chunk all the replaced values
solve one unit lower triangular system, the WY form (Yang et al. 2406.06484, section 3). Episodes
are separated by counting resets. The backward pass computes each chunk again: only the states
between chunks are kept.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from rlseq.scans.choice import choose
from rlseq.scans.chunks import decays, episode_totals, same_episode, scan_chunks
from rlseq.scans.faults import contain, mark
from rlseq.scans.reading import read

METHODS = ("auto", "sequential", "chunked")


def delta_scan(
    q: Array,
    k: Array,
    v: Array,
    beta: Array,
    log_decay: Array,
    carry: Array,
    reset: Array,
    *,
    method: str = "auto",
) -> tuple[Array, Array]:
    """All outputs y[t] = S[t]^T q[t] from S[-1] = carry; S[t-1] is 0 where reset[t].

    Args:
        q, k: [T, B, H, K]; the keys of length 1 (or 0), else the state may grow without bound.
        v: [T, B, H, V].
        beta: [T, B, H], how much of the old value goes: 1 replaces it, 2 reflects the state.
        log_decay: [T, B, H], g <= 0.
        carry: [B, H, K, V].
        reset: [T, B] bool.
        method: "sequential" is one loop over the steps, "chunked" one over chunks of matmuls.

    Returns:
        The last state [B, H, K, V] and y [T, B, H, V].

    Raises:
        ValueError: shapes or dtypes that do not fit together.
        InputError: an unknown method.
    """
    _check(q, k, v, beta, log_decay, carry, reset)
    length = reset.shape[0]
    method = choose("delta", method, METHODS, length, carry.size)
    if not length:
        return carry, v
    inputs = (q, k, v, beta, log_decay)
    if method == "sequential":
        return scan_chunks(_loop, carry, (*inputs, reset), length)
    inputs, carry, reached = contain(inputs, carry, reset)
    return mark(*scan_chunks(_chunk, carry, (*inputs, reset), length), reached)


def delta_step(
    q: Array, k: Array, v: Array, beta: Array, log_decay: Array, carry: Array, reset: Array
) -> tuple[Array, Array]:
    """One step: q, k [B, H, K], v [B, H, V], beta and log_decay [B, H], reset [B] -> (carry, y)."""
    kept = jnp.where(reset[:, None, None, None], 0, carry)
    kept = jnp.exp(log_decay)[..., None, None] * kept
    replaced = beta[..., None] * (v - read(k, kept))
    state = kept + k[..., None] * jnp.expand_dims(replaced, 2)
    return state, read(q, state)


def unit_lower_inverse(a: Array) -> Array:
    """(I + A)^-1 for A [..., Q, Q] strictly lower triangular, by matmuls alone.

    Diagonal blocks of twice the size, log2(Q) times. The shorter product of powers of A is not
    used: where keys repeat, the powers grow to 3^Q and cancel.
    """
    at = np.arange(a.shape[-1])
    inverse, size = jnp.broadcast_to(jnp.eye(len(at), dtype=a.dtype), a.shape), 1
    while size < len(at):
        block, pair = at // size, at // (2 * size)
        below = (pair[:, None] == pair) & (block[:, None] > block)
        below = jnp.where(np.expand_dims(below, tuple(range(a.ndim - 2))), a, 0)
        inverse = inverse - inverse @ below @ inverse
        size *= 2
    return inverse


def _loop(carry: Array, inputs: tuple) -> tuple[Array, Array]:
    def body(state, at):
        q, k, v, beta, log_decay, reset = at
        return delta_step(q, k, v, beta, log_decay, state, reset)

    return lax.scan(body, carry, inputs)


def _chunk(carry: Array, inputs: tuple) -> tuple[Array, Array]:
    """One chunk as y = fresh + P S and S' = D S + fresh'.

    `total` sums the log-decays and `episode` counts the resets up to each step. What the carry
    does is kept apart, in the columns `w`.
    """
    q, k, v, beta, log_decay, reset = inputs
    total, episode = episode_totals(log_decay, reset)
    first, last = ((episode == e)[..., None, None] for e in (0, episode[-1:]))
    solve, reads = _inside(q, k, beta, total, episode)
    grown = jnp.exp(total)[..., None]
    u = jnp.einsum("bhij,jbhv->ibhv", solve, beta[..., None] * v)
    w = jnp.einsum("bhij,jbhk->ibhk", solve, jnp.where(first, beta[..., None] * grown * k, 0))
    seen = jnp.where(first, grown * q - jnp.einsum("bhij,jbhk->ibhk", reads, w), 0)
    y = jnp.einsum("ibhk,bhkv->ibhv", seen, carry) + jnp.einsum("bhij,jbhv->ibhv", reads, u)
    left = jnp.where(last[..., 0], total[-1:] - total, 0)
    leaving = jnp.where(last, k * jnp.exp(left)[..., None], 0)
    kept = jnp.where(first[-1][..., None], carry, 0)
    lost = jnp.einsum("jbhk,jbhl,bhlv->bhkv", leaving, w, kept)
    state = kept * grown[-1][..., None] - lost + jnp.einsum("jbhk,jbhv->bhkv", leaving, u)
    return state, y


def _inside(q: Array, k: Array, beta: Array, total: Array, episode: Array) -> tuple[Array, Array]:
    """The inverse that replaces values in order, and what row i reads of row j; [B, H, Q, Q]."""
    decay = decays(total, same_episode(episode))
    scores = jnp.einsum("ibhk,jbhk->bhij", k, k) * decay * jnp.moveaxis(beta, 0, 2)[..., None]
    reads = jnp.einsum("ibhk,jbhk->bhij", q, k) * decay
    return unit_lower_inverse(jnp.tril(scores, -1)), reads


def _check(
    q: Array, k: Array, v: Array, beta: Array, log_decay: Array, carry: Array, reset: Array
) -> None:
    if reset.dtype != jnp.bool_ or reset.shape != v.shape[:2]:
        raise ValueError(f"reset must be bool {v.shape[:2]}, got {reset.dtype} {reset.shape}")
    if q.shape != k.shape or q.shape[:3] != v.shape[:3]:
        raise ValueError(f"q and k must be {v.shape[:3]} + [K], got {q.shape} and {k.shape}")
    if beta.shape != v.shape[:3] or log_decay.shape != v.shape[:3]:
        raise ValueError(
            f"beta and log_decay must be {v.shape[:3]}, got {beta.shape} and {log_decay.shape}"
        )
    wanted = (*v.shape[1:3], k.shape[-1], v.shape[-1])
    if carry.shape != wanted:
        raise ValueError(f"carry must be {wanted}, got {carry.shape}")
    if len({x.dtype for x in (q, k, v, beta, log_decay, carry)}) > 1:
        dtypes = [str(x.dtype) for x in (q, k, v, beta, log_decay, carry)]
        raise ValueError(f"dtypes differ: {dtypes}")
