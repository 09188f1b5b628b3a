"""The twin of mamba3: the state of every head, its turning rows as complex numbers."""

import numpy as np

from .common import dense, sigmoid


def rms(p, x):
    scale = np.asarray(p["scale"], np.float64)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * scale


def turn_back(state, angle):
    """The pairs (n, S + n) of rows [B, H, N, P] turned by -angle [B, H, S]."""
    size = angle.shape[-1]
    pair = state[:, :, :size] + 1j * state[:, :, size : 2 * size]
    pair = pair * np.exp(-1j * angle)[..., None]
    return np.concatenate([pair.real, pair.imag, state[:, :, 2 * size :]], axis=2)


def twin(layer, params, carry, x, reset):
    p = {k: np.asarray(v, np.float64) for k, v in params.items() if not hasattr(v, "keys")}
    state, last_k, last_v = (np.asarray(leaf, np.float64) for leaf in carry)
    heads, n, width, rank = *state.shape[1:], layer.rank
    inner, turning = heads * width, int(n * layer.turning) // 2
    sizes = [inner, inner, rank * n, rank * n, heads, heads, heads, turning]
    parts = np.split(dense(params["inputs"]["dense"], x), np.cumsum(sizes)[:-1], axis=-1)
    z, v, k, q, step, rate, middle, angle = parts
    z, v = (a.reshape(*x.shape[:2], 1, heads, width) for a in (z, v))
    k, q = (a.reshape(*x.shape[:2], rank, 1, n) for a in (k, q))
    k = rms(params["key_norm"], k) + p["key_bias"]
    q = rms(params["query_norm"], q) + p["query_bias"]
    v = v * p.get("spread", 1.0)
    step = np.log1p(np.exp(step + p["step_bias"]))
    rate = np.where(rate > 0, 1 + rate, 1 / (1 - np.minimum(rate, 0))).clip(1e-4)
    middle, angle = sigmoid(middle), np.tanh(angle)[:, :, None] * np.pi * step[..., None]
    out = []
    for t in range(len(x)):
        fresh = reset[t][:, None, None, None]
        state, last_k, last_v = (np.where(fresh, 0, a) for a in (state, last_k, last_v))
        before = ((1 - middle[t]) * step[t])[..., None, None]
        state = state + before * np.einsum("brhn,brhp->bhnp", last_k, last_v)
        state = np.exp(-rate[t] * step[t])[..., None, None] * turn_back(state, angle[t])
        last_k, last_v = k[t], v[t]
        now = (middle[t] * step[t])[..., None, None]
        state = state + now * np.einsum("brhn,brhp->bhnp", last_k, last_v)
        y = np.einsum("brhn,bhnp->brhp", q[t], state) + v[t] * p["skip"]
        gate = z[t] * p.get("gates", 1.0)
        out.append((y * gate * sigmoid(gate) * p.get("gather", 1.0)).sum(1).reshape(len(y), -1))
    return dense(params["output"]["dense"], np.stack(out))
