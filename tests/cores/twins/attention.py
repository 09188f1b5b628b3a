"""The twin of attention."""

import numpy as np

from .common import dense


def turn(x, position):
    """Rotary positions: x [H, d], pairs (i, i + d / 2)."""
    half = x.shape[-1] // 2
    spin = np.exp(1j * position * 10_000.0 ** (-np.arange(half) / half))
    turned = (x[:, :half] + 1j * x[:, half:]) * spin
    return np.concatenate([turned.real, turned.imag], axis=-1)


def twin(layer, params, carry, x, reset):
    position, keys, values = (np.asarray(leaf, np.float64) for leaf in carry)
    heads = layer.heads or max(layer.features // 32, 1)
    out = np.empty((*x.shape[:2], layer.features))
    for b in range(x.shape[1]):
        at, shape = int(position[b]), (heads, -1)
        past = min(at, layer.window - 1)
        k = [row.reshape(shape) for row in keys[b][layer.window - 1 - past :]]
        v = [row.reshape(shape) for row in values[b][layer.window - 1 - past :]]
        for t in range(len(x)):
            if reset[t, b]:
                at, k, v = 0, [], []
            parts = np.split(dense(params["inputs"]["dense"], x[t, b]), 3)
            q, key, value = (part.reshape(shape) for part in parts)
            k, v = [*k, turn(key, at)][-layer.window :], [*v, value][-layer.window :]
            scores = np.einsum("hd,khd->kh", turn(q, at), np.stack(k)) / np.sqrt(q.shape[-1])
            weights = np.exp(scores - scores.max(0))
            mean = np.einsum("kh,khd->hd", weights / weights.sum(0), np.stack(v))
            out[t, b] = dense(params["output"]["dense"], mean.reshape(-1))
            at += 1
    return out
